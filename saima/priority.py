"""Giving way: background work must not slow what answers or retrains."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

BEHIND = 5
"""Niceness of what a host does behind its answers: a third of the share of an answer's thread."""


def give_way(nice: int) -> None:
    """Let other processes go before this one; `nice` from 1 to 19.

    Linux shares the CPU between sessions first, and niceness counts inside one alone (sched(7), autogroup): where the
    process leads a session, that becomes nice as a whole, too.
    """
    lower = nice - os.getpriority(os.PRIO_PROCESS, 0)
    if lower <= 0:
        return
    os.nice(lower)
    if sys.platform == "linux" and os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # a kernel without autogroup
            Path("/proc/self/autogroup").write_text(str(nice))


def thread_gives_way(nice: int) -> None:
    """Let other threads go before this one where they want its core: on Linux each thread has a niceness of its own."""
    thread = threading.get_native_id()
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, thread) < nice:
        os.setpriority(os.PRIO_PROCESS, thread, nice)
