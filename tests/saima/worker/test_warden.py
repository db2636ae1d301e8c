"""The warden on a real registry: a breach goes back in one epoch and leaves evidence; ramps that are due move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saima.host.meter import Meter
from saima.routing.deployment import AlgorithmState, configure, lift_hold, read_document, refresh, rollback, write
from saima.routing.experiments import Experiment
from saima.routing.layout import Layout
from saima.routing.running import start
from saima.settings import Settings
from saima.stores import open_registry, open_tables
from saima.stores.interfaces import Registry, Tables
from saima.worker.warden import EVERY_MS, Warden

NOW = 1_700_000_000_000
DAY = 86_400_000
LAYOUT = Layout.model_validate({"guardrails": {"errors": 0.02}})


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = open_registry(Settings(home=tmp_path))
    for number in (1, 2):
        write(opened, refresh("a", "x", number), "test", "refresh")
    write(opened, configure("a", layout=LAYOUT), "test", "rails")
    yield opened
    opened.close()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(Settings(home=tmp_path))


def tell(registry: Registry, publication: int, errors: int, name: str = "host/1") -> None:
    meter = Meter()
    for _ in range(200):
        meter.answered("a", "x", publication, {"total": 0.01})
    for _ in range(errors):
        meter.erred("a", "x", publication)
    registry.set_status(name, meter.snapshot())


def state(registry: Registry) -> AlgorithmState:
    return read_document(registry.deployment().document).algorithms["a"]


def test_a_breach_goes_back_in_one_epoch_and_leaves_evidence(registry: Registry, tables: Tables) -> None:
    warden, epoch = Warden(registry, tables), registry.deployment().epoch
    tell(registry, 2, errors=0)
    assert warden.look(NOW) == []
    tell(registry, 2, errors=60)
    assert warden.look(NOW + 1) == [], "it looks now and then"
    (breach,) = warden.look(NOW + EVERY_MS)
    assert registry.deployment().epoch == epoch + 1
    lineage = state(registry).lineages["x"]
    assert (lineage.routed, lineage.quarantined, lineage.hold) == (1, [2], breach.reason)
    assert registry.deployment().author == "guardrail"
    (mark,) = registry.marks("guardrail")
    assert (mark["rolled_back"], mark["bad"], mark["of"], mark["to"], mark["epoch"]) == (True, 60, 260, 1, epoch + 1)
    assert registry.marks("rollback")[-1]["reason"] == breach.reason
    assert warden.look(NOW + 2 * EVERY_MS) == [], "a held lineage is left alone"


def test_without_a_standby_there_is_evidence_and_nothing_else(registry: Registry, tables: Tables) -> None:
    write(registry, rollback("a", "x", "by hand"), "test", "no standby is left")
    write(registry, lift_hold("a", "x"), "test", "go on")
    epoch = registry.deployment().epoch
    tell(registry, 1, errors=60)
    warden = Warden(registry, tables)
    assert len(warden.look(NOW)) == 1
    assert warden.look(NOW + EVERY_MS) == [], "it cools down"
    assert registry.deployment().epoch == epoch
    assert [mark["rolled_back"] for mark in registry.marks("guardrail")] == [False]
    assert registry.marks("rollback") == []


def test_ramps_that_are_due_move_and_wait_for_held_lineages(registry: Registry, tables: Tables) -> None:
    body: dict[str, Any] = {"experiment": "e", "layer": "m", "coverage": 5,
                            "arms": {"n": {"lineage": "x", "weight": 100}},
                            "ramp": [{"coverage": 20, "after": "1d"}, {"coverage": 100, "after": "2d"}]}  # fmt: skip
    write(registry, start("a", Experiment.model_validate(body), LAYOUT, NOW), "test", "start")
    warden = Warden(registry, tables)
    warden.look(NOW + DAY - 1)
    assert state(registry).experiments[0].coverage == 5
    warden.look(NOW + DAY + EVERY_MS)
    assert state(registry).experiments[0].coverage == 20
    write(registry, rollback("a", "x", "worse"), "test", "held")
    warden.look(NOW + 3 * DAY)
    assert state(registry).experiments[0].coverage == 20
    write(registry, lift_hold("a", "x"), "test", "mended")
    warden.look(NOW + 3 * DAY + EVERY_MS)
    assert state(registry).experiments[0].coverage == 100
    assert [mark["coverage"] for mark in registry.marks("experiment")] == [20, 100]
