"""The first Ctrl-C asks for the end, the second one does not wait for it."""

from __future__ import annotations

import os
import signal

import pytest

from cli.up import interruptible


def test_the_first_sets_the_event_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wait(20)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
