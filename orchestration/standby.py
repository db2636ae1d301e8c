"""A run's process before it has a run: `python -m orchestration.standby <module> ...`.

Imports the modules, loads the definitions, opens Dagster's instance, then waits on stdin for one line, the arguments of
`dagster api execute_run`, and executes that run. When stdin ends its parent has gone: without a run it ends, with one
it cancels it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading


def warm(modules: list[str]) -> None:
    """Import what a run will need."""
    from dagster import DagsterInstance

    from orchestration.definitions import defs

    defs.get_repository_def()
    for name in modules:
        importlib.import_module(name)
    with DagsterInstance.get() as instance:
        instance.get_runs(limit=1)


def main() -> None:
    """Entry of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
    warm(sys.argv[1:])
    line = sys.stdin.readline()
    if not line:
        return
    threading.Thread(target=_cancel_when_alone, daemon=True).start()
    from dagster._cli.api import execute_run_command

    assert execute_run_command.callback is not None
    execute_run_command.callback(json.loads(line), None)


def _cancel_when_alone() -> None:
    while sys.stdin.readline():
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
