"""The worker's process: `python -m saima.worker --shard 0`; SIGTERM and SIGINT end it after a last drain."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import threading
from collections.abc import Sequence

from saima.errors import CorruptSegment, DeclarationError, SaimaError, StoreError
from saima.settings import Settings
from saima.signals import ending
from saima.worker.worker import Worker

LOG = logging.getLogger("saima.worker")

CLEAN, FAILED, DECLARATION, CORRUPT, FENCED = 0, 1, 2, 3, 4
"""Exit codes: ended by a signal; a store or an engine failed; a declaration is wrong; the log is corrupt; a store
cannot be opened, most likely since another worker has the shard."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a shard until a signal; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m saima.worker", description="Run one shard of the stream worker.")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--rows", type=int, default=4_000, help="about the most rows of one cycle")
    parser.add_argument("--drain-seconds", type=float, default=1.0, help="least time between two appends to a table")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # A commit must not wait 5 ms for a drain that is in Python, nor 50 ms for a collection over all held entities.
    sys.setswitchinterval(0.0005)
    gc.set_threshold(200_000, 50, 1000)
    return run(Settings(), chosen.shard, chosen.rows, chosen.drain_seconds)


def run(settings: Settings, shard: int, rows: int = 4_000, drain_seconds: float = 1.0) -> int:
    """Run a shard with its signals handled; the exit code."""
    with ending() as stop:
        return live(settings, stop, shard, rows, drain_seconds)


def live(settings: Settings, stop: threading.Event, shard: int, rows: int, drain_seconds: float) -> int:
    """Run a shard until `stop` is set; the exit code."""
    try:
        worker = Worker(settings, shard, rows=rows, drain_seconds=drain_seconds)
    except DeclarationError as error:
        LOG.error("%s", error)
        return DECLARATION
    except StoreError as error:
        LOG.error("%s", error)
        return FENCED
    except SaimaError as error:
        LOG.error("%s", error)
        return FAILED
    try:
        worker.run(stop)
    except CorruptSegment as error:
        LOG.error("%s; everything before it is committed, the worker stands at offset %d", error, worker.position)
        return CORRUPT
    except SaimaError as error:
        LOG.error("%s", error)
        return FAILED
    finally:
        worker.close()
    LOG.info("worker stopped at offset %d, the outbox is drained", worker.position)
    return CLEAN
