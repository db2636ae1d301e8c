"""Named steps of the worker's cycle, and the drill that kills it at one of them.

Drill: `SAIMA_KILL_AT=<step>:<n>` ends the process with SIGKILL when it reaches the step for the n-th time. The steps
stand between every two actions of the cycle and of the drainer; whatever the step, a restart must lose nothing and
count nothing twice.
"""

from __future__ import annotations

import os
import signal

from saima.errors import SaimaError, suggest

STEPS = (
    "after_bootstrap",
    "after_read",
    "after_refused",
    "after_compute",
    "in_commit",
    "after_commit",
    "before_append",
    "after_append",
    "after_facts",
    "in_clear",
    "after_clear",
)
"""In the order of a cycle: read, append refused rows, compute, commit; then the drainer; then clear the outbox."""

DEPLOYMENT = ("before_declare", "in_declare", "after_declare", "in_warm", "after_warm")
"""Around an order that changes declarations: swap, in one commit; then the commit of what was built of history."""

DEEDS = ("before_deed", "in_deed", "after_mark")
"""Around what the warden does: once it is a fact, once its epoch is written, after each of its marks."""


def parse(text: str) -> tuple[str, int] | None:
    """Step and count of `SAIMA_KILL_AT`; None where it is empty.

    >>> parse("after_commit:2")
    ('after_commit', 2)
    """
    if not text:
        return None
    name, _, count = text.partition(":")
    known = (*STEPS, *DEPLOYMENT, *DEEDS)
    if name not in known:
        there = ", ".join(known)
        raise SaimaError(f"SAIMA_KILL_AT: unknown step '{name}'{suggest(name, known)}; the steps are {there}")
    if not (count or "1").isdigit() or int(count or "1") < 1:
        raise SaimaError(f"SAIMA_KILL_AT: '{count}' is not a count; write for example {name}:3")
    return name, int(count or "1")


_DRILL = parse(os.environ.get("SAIMA_KILL_AT", ""))
_left = {_DRILL[0]: _DRILL[1]} if _DRILL else {}


def step(name: str) -> None:
    """Pass a step; under the drill the process may end here."""
    if name in _left:
        _left[name] -= 1
        if not _left[name]:
            os.kill(os.getpid(), signal.SIGKILL)
