"""A real worker, killed around what its warden does, must have done it once: one epoch, one mark of each kind."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from saima.errors import Conflict
from saima.routing.deployment import refresh, write
from saima.worker.deeds import FACT, Deeds

Home = Any  # the fixture's class, in conftest.py
TIMEOUT = 60


@contextmanager
def lived(home: Home, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = home.start(**variables)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


SAMPLE = [["in_deed:1", "after_mark:1"]]
EVERY = [["in_deed:1", "after_mark:1", "after_mark:2"]]
EVERY += [[step] for step in ("before_deed:1", "in_deed:1", "after_mark:1", "after_mark:2")]


@pytest.mark.parametrize("kills", [*SAMPLE, *(pytest.param(kills, marks=pytest.mark.full) for kills in EVERY)])
def test_a_worker_killed_while_it_rolls_back_has_done_so_once(home: Home, kills: list[str]) -> None:
    epoch = home.endanger()
    for kill in kills:
        with lived(home, SAIMA_KILL_AT=kill) as process:
            assert process.wait(TIMEOUT) == -signal.SIGKILL, process.stderr.read()
    assert home.registry.fact(FACT), "it was killed in the middle"
    with lived(home) as process:
        home.saved(epoch, TIMEOUT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0, process.stderr.read()
    home.saved(epoch, 1)


def test_a_deed_that_changes_nothing_or_is_refused_leaves_no_mark(home: Home) -> None:
    home.endanger()
    deeds = Deeds(home.registry)
    assert deeds.do(lambda current: current, "test", "nothing", [("guardrail", {"a": 1})]) is None

    def refused(_: Any) -> Any:
        raise Conflict("no")

    with pytest.raises(Conflict):
        deeds.do(refused, "test", "refused", [("guardrail", {"a": 1})])
    assert home.registry.marks("guardrail") == []
    assert home.registry.fact(FACT) == {}
    assert deeds.finish() is None


def test_an_epoch_of_somebody_else_is_not_taken_for_the_deeds(home: Home) -> None:
    epoch = home.endanger()
    told = {"before": epoch, "author": "guardrail", "reason": "why", "marks": [["guardrail", {"a": 1}]]}
    home.registry.put_fact(FACT, told)
    write(home.registry, refresh("shop", "base", 3), "somebody", "why")
    assert Deeds(home.registry).finish() is None
    home.registry.put_fact(FACT, told)
    write(home.registry, refresh("shop", "base", 4), "guardrail", "why")
    write(home.registry, refresh("shop", "base", 5), "somebody", "more")
    assert Deeds(home.registry).finish().epoch == epoch + 2
    assert [mark["epoch"] for mark in home.registry.marks("guardrail")] == [epoch + 2]
