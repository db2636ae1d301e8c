"""A retrain, a ramp, a rollback and a person write at once, in processes of their own: no change is lost unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saima.routing.deployment import (
    Deployment,
    Transition,
    chain,
    configure,
    read_document,
    refresh,
    release,
    rollback,
    write,
)
from saima.settings import Settings
from saima.stores import open_registry

WRITER = """
import json, sys
from pathlib import Path
from saima.errors import SaimaError
from saima.routing.deployment import configure, refresh, release, rollback, write
from saima.settings import Settings
from saima.stores import open_registry

kind, home, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
registry = open_registry(Settings(home=home))
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    transition = {
        "retrain": lambda: refresh("a", "main", 100 + number),
        "ramp": lambda: configure("a", lane={"threads": 1 + number % 8, "queue": 10 + number, "deadline_ms": 1000}),
        "rollback": lambda: rollback("a", "main", "worse"),
        "person": lambda: release("a", "other", 500 + number),
    }[kind]()
    if kind == "rollback" and number != rounds // 2:
        continue
    try:
        row = write(registry, transition, kind, str(number), attempts=200)
        print(json.dumps([kind, number, row.epoch, ""]), flush=True)
    except SaimaError as error:
        print(json.dumps([kind, number, None, type(error).__name__]), flush=True)
"""
KINDS = ("retrain", "ramp", "rollback", "person")


def transition_of(kind: str, number: int) -> Transition:
    """What a writer of a kind wanted in a round."""
    if kind == "retrain":
        return refresh("a", "main", 100 + number)
    if kind == "ramp":
        return configure("a", lane={"threads": 1 + number % 8, "queue": 10 + number, "deadline_ms": 1000})
    if kind == "rollback":
        return rollback("a", "main", "worse")
    return release("a", "other", 500 + number)


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.full)])
def test_whoever_writes_at_once_loses_nothing_unseen(tmp_path: Path, rounds: int) -> None:
    registry = open_registry(Settings(home=tmp_path))
    write(registry, chain(refresh("a", "main", 1), refresh("a", "main", 2), refresh("a", "other", 3)), "test", "first")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, str(tmp_path), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in KINDS
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told: list[list[Any]] = []
    for writer in writers:
        out, _ = writer.communicate(timeout=240)
        assert writer.returncode == 0
        told += [json.loads(line) for line in out.splitlines()]

    history = {row.epoch: row for row in registry.deployments(10_000)}
    assert sorted(history) == list(range(1, max(history) + 1))
    documents = {epoch: read_document(row.document) for epoch, row in history.items()}
    for epoch in range(2, max(history) + 1):
        row = history[epoch]
        wanted = transition_of(row.author, int(row.reason))(documents[epoch - 1])
        assert wanted.sealed() == documents[epoch].sealed(), "an epoch is one change of the one before it"
    written = {(row.author, int(row.reason)): epoch for epoch, row in history.items() if epoch > 1}
    for kind, number, epoch, error in told:
        if error:
            assert (kind, number) not in written
            assert (kind, error) == ("retrain", "Held"), "only a held lineage refuses, and it says so"
        elif (kind, number) in written:
            assert written[kind, number] == epoch
        else:
            assert transition_of(kind, number)(documents[epoch]).sealed() == documents[epoch].sealed()
    assert len(told) == 3 * rounds + 1, "every writer was told of every change what became of it"

    (held,) = [epoch for (kind, _), epoch in written.items() if kind == "rollback"]
    after = [documents[epoch].lineage("a", "main") for epoch in range(held, max(history) + 1)]
    assert all(state == after[0] and state.hold == "worse" for state in after), "a held lineage stays held"
    last = documents[max(history)]
    assert last.lineage("a", "other").routed == 500 + rounds - 1
    assert last.algorithms["a"].lane.queue == 10 + rounds - 1
    assert isinstance(last, Deployment)
