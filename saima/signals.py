"""Signals that end a process, as an event."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = (signal.SIGTERM, signal.SIGINT)
"""Signals that ask for the end."""


@contextmanager
def ending() -> Iterator[threading.Event]:
    """An event that the first of ENDS sets; for the main thread only.

    A thread sets it. A handler would run between two steps of the main thread, perhaps of its own `event.wait()`, which
    then holds the lock that `event.set()` waits for, for ever.
    """
    stop = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        while (told := reader.recv(1)) and told[0] not in ENDS:
            pass
        stop.set()

    before = {number: signal.signal(number, lambda *_: None) for number in ENDS}
    awake = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(awake)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()
        watcher.join()
        reader.close()
