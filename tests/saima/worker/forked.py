"""Workers as forks of one process, so that many may live and die in a test: `python forked.py`.

It imports once what a worker needs, then forks one worker after the other; one line of JSON each way at a time:

    test: {"environment": {}, "arguments": [], "page": "path", "log": "path", "kill_at": "after_commit:2"}
    here: {"pid": 7}, and when it has ended: {"exit": -9}

A worker writes the name of each step that it passes to its page: those of the cycle at 0, those of the drainer at 32.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
from pathlib import Path
from typing import Any

from saima.worker import main, steps

DRAINER = ("before_append", "after_append", "after_facts")


class Traced(dict[str, int]):
    """Steps left until the drill's kill; asked for a step, it writes the name to the page."""

    def __init__(self, page: mmap.mmap, kill_at: str) -> None:
        drill = steps.parse(kill_at)
        super().__init__({drill[0]: drill[1]} if drill else {})
        self._page = page

    def __contains__(self, name: object) -> bool:
        lane = 32 if name in DRAINER else 0
        self._page[lane : lane + 32] = str(name).encode().ljust(32)
        return super().__contains__(name)


def live(asked: dict[str, Any]) -> int:
    """Be a worker; the exit code."""
    os.environ.update(asked["environment"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    with Path(asked["page"]).open("r+b") as file:
        steps._left = Traced(mmap.mmap(file.fileno(), 64), asked["kill_at"])
    return main.main(asked["arguments"])


if __name__ == "__main__":
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = 70
            try:
                code = live(json.loads(line))
            finally:
                os._exit(code)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)
