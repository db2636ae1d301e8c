"""A signal ends what waits for it, at whatever moment it comes."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from saima.signals import ENDS, ending


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_sets_the_event_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with ending() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(20)
    assert signal.getsignal(number) is before
    assert not [thread for thread in threading.enumerate() if thread.name == "signals"]


def test_another_signal_does_not() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with ending() as stop:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert not stop.wait(0.2)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_no_moment_of_a_waiting_loop_is_a_bad_one() -> None:
    """Many signals, each at another moment of a loop that does nothing but take and give back the event's lock."""
    for turn in range(200):
        with ending() as stop:
            timer = threading.Timer(0.0005 + turn * 0.00001, os.kill, (os.getpid(), signal.SIGTERM))
            timer.start()
            deadline = time.monotonic() + 20
            while not stop.wait(0):
                assert time.monotonic() < deadline
            timer.join()
