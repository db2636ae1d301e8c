"""Work that gives way to answers: loading, shadows, the journal's way to the log."""

from __future__ import annotations

import os
import sys
import threading

NICE = 5
"""Niceness of what is done behind the answers: a third of the share of an answer's thread."""


def give_way() -> None:
    """Let answers go first, from now on, where they want this thread's core: on Linux each thread has its niceness."""
    thread = threading.get_native_id()
    if sys.platform == "linux" and os.getpriority(os.PRIO_PROCESS, thread) < NICE:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
