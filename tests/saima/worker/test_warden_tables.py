"""The warden on the tables that a real worker writes: each fault goes back, or stops, once; what is sound stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saima.events import JOURNAL
from saima.features import load
from saima.routing.deployment import (
    AlgorithmState,
    configure,
    lift_hold,
    read_document,
    refresh,
    release,
    rollback,
    write,
)
from saima.routing.experiments import Experiment
from saima.routing.layout import Layout
from saima.routing.running import start, stop
from saima.worker import exposed, watched
from saima.worker.exposed import exposures
from saima.worker.warden import EVERY_MS, TABLES_MS, Warden
from saima.worker.worker import Worker

Home = Any  # the fixture's class, in conftest.py
MINUTE, HOUR = 60_000, 3_600_000
DECLARED = {"missing": 0.1, "drift": 0.1, "calibration": 0.1, "srm": True}


class Rig:
    """A home whose lineage `base` routes version 3, version 2 its standby; a worker and a warden, and their clock."""

    def __init__(self, home: Home, **rails: Any) -> None:
        self.home = home
        self.registry = home.registry
        self.layout = Layout.model_validate({"guardrails": rails})
        write(self.registry, refresh("shop", "base", 2), "test", "refresh")
        write(self.registry, configure("shop", layout=self.layout), "test", "rails")
        self.worker = Worker(home.settings)
        self.now = home.appended
        self.made = 0
        self.warden = self.restarted()

    def restarted(self) -> Warden:
        """A warden of a new process."""
        self.warden = Warden(self.registry, self.home.tables)
        self.warden.declare({"shop": load(self.home.algorithms / "shop").declaration})
        return self.warden

    def refresh(self, publication: int) -> None:
        write(self.registry, refresh("shop", "base", publication), "test", "refresh")

    def decide(self, *records: dict[str, Any], minute: float = 0) -> None:
        """Journal answers, a second apart from a minute on."""
        events = []
        for place, record in enumerate(records):
            self.made += 1
            time = self.home.B + int(minute * MINUTE) + place * 1000
            events.append(self.home.prediction(f"t{self.made}", time, self.made, **record))
        self.home.append(JOURNAL, *events)
        self.home.follow(self.worker)

    def look(self) -> list[Any]:
        self.now += TABLES_MS
        return self.warden.look(self.now)

    @property
    def state(self) -> AlgorithmState:
        return read_document(self.registry.deployment().document).algorithms["shop"]

    def gone_back(self, rail: str) -> None:
        """Version 3 went back to 2 in one epoch, for that rail, with one mark each; nothing happens again."""
        epoch = self.registry.deployment().epoch
        (breach,) = self.look()
        lineage = self.state.lineages["base"]
        assert self.registry.deployment().epoch == epoch + 1
        assert (breach.rail, lineage.routed, lineage.quarantined, lineage.hold) == (rail, 2, [3], breach.reason)
        (mark,), (told,) = self.registry.marks("guardrail"), self.registry.marks("rollback")
        assert (mark["rail"], mark["rolled_back"], mark["to"], mark["epoch"]) == (rail, True, 2, epoch + 1)
        assert (told["publication"], told["to"], told["reason"]) == (3, 2, breach.reason)
        assert self.look() == self.restarted().look(self.now + HOUR) == []
        assert len(self.registry.marks("guardrail")) == 1

    def start(self, name: str = "e", force: bool = False, honours: tuple[str, ...] = (), **weights: float) -> None:
        arms = {arm: {"lineage": "base", "weight": weight} for arm, weight in (weights or {"a": 50, "b": 50}).items()}
        one = Experiment.model_validate({"experiment": name, "layer": "m", "arms": arms, "honours": list(honours)})
        write(self.registry, start("shop", one, self.layout, self.now, force), "test", "start")


def exposure(unit: str, arm: str, reason: str = "hashed", experiment: str = "e", **more: Any) -> dict[str, Any]:
    return {"layers": [["m", experiment, arm, 0.5, reason, unit]], "epoch": 10**6, **more}


@pytest.fixture
def rigs(home: Home) -> Iterator[Any]:
    made: list[Rig] = []

    def make(**rails: Any) -> Rig:
        made.append(Rig(home, **rails))
        return made[-1]

    yield make
    for one in made:
        one.worker.close()


LACKING = {"features": {"views_1h": [None], "mean_6h": [None], "last_seconds": [1.0]}}


def test_missing_features_send_a_version_back_and_a_third_of_them_does_not(rigs: Any) -> None:
    rig = rigs(missing=0.1)
    rig.refresh(3)
    assert rig.look() == []
    rig.decide(*[{}] * 60)
    assert rig.look() == []
    rig.decide(
        *[{**LACKING, "shadow": True}] * 60, *[{**LACKING, "version": 2}] * 60, *[{**LACKING, "version": 33}] * 60
    )
    assert rig.look() == [], "neither shadows nor other versions count"
    rig.decide(*[LACKING] * 40)
    rig.gone_back("missing")


def test_scores_outside_of_the_standbys_band_send_a_version_back(rigs: Any) -> None:
    rig, random = rigs(drift=0.1), np.random.default_rng(4)
    rig.decide(*[{"version": 2, "scores": [score]} for score in random.normal(10, 3, 400)])
    rig.refresh(3)
    assert rig.look() == []
    rig.decide(*[{"scores": [score]} for score in random.normal(10, 3, 300)])
    assert rig.look() == [], "the same scores are no drift"
    rig.decide(*[{"scores": [score]} for score in random.normal(20, 3, 100)])
    rig.gone_back("drift")


def test_without_earlier_scores_there_is_no_drift_and_a_declared_range_needs_none(rigs: Any) -> None:
    rig = rigs(drift=0.1)
    rig.refresh(3)
    rig.look()
    rig.decide(*[{"scores": [1e6]}] * 100)
    assert rig.look() == []
    rig.layout = Layout.model_validate({"guardrails": {"drift": 0.1, "score_range": [0, 10]}})
    write(rig.registry, configure("shop", layout=rig.layout), "test", "rails")
    assert rig.look() == [], "the old scores are not of this watch"
    rig.decide(*[{"scores": [1e6]}] * 100)
    rig.gone_back("drift")


def test_mature_outcomes_far_from_the_scores_send_a_version_back_and_young_ones_do_not(rigs: Any) -> None:
    rig = rigs(calibration=0.1)
    rig.refresh(3)
    rig.look()
    rig.decide(*[{"scores": [0.9]}] * 80)
    paid = [rig.home.payment(f"t{n}", rig.home.B + 2 * MINUTE, 0.5) for n in range(1, 81)]
    rig.home.append("paid", *paid)
    rig.home.follow(rig.worker)
    assert rig.look() == [], "later outcomes may still come"
    rig.decide({}, minute=10 * 60)
    rig.home.append("paid", rig.home.payment("t81", rig.home.B + 10 * HOUR, 0.5))
    rig.home.follow(rig.worker)
    rig.gone_back("calibration")


def test_calibrated_scores_stay(rigs: Any) -> None:
    rig, random = rigs(calibration=0.1), np.random.default_rng(9)
    rig.refresh(3)
    rig.look()
    scores = random.uniform(0.2, 0.8, 200)
    rig.decide(*[{"scores": [score]} for score in scores])
    paid = (random.random(200) < scores).astype(float)
    rig.home.append("paid", *(rig.home.payment(f"t{n + 1}", rig.home.B + HOUR, paid[n]) for n in range(200)))
    rig.decide({}, minute=10 * 60)
    rig.home.append("paid", rig.home.payment("t201", rig.home.B + 10 * HOUR, 0.5))
    rig.home.follow(rig.worker)
    assert rig.look() == []
    assert rig.registry.fact("rails/shop")["watches"]["base"]["matured"] == 200


def test_a_broken_split_stops_the_experiment_once_and_quarantines_its_buckets(rigs: Any) -> None:
    rig = rigs(srm=True)
    rig.start()
    rig.decide(*[exposure(f"u{n}", "ab"[n % 2]) for n in range(300)])
    assert rig.look() == []
    again = [exposure(f"u{n % 30}", "a") for n in range(0, 600, 2)]
    rig.decide(*again, *[exposure(f"o{n}", "a", override=True) for n in range(200)])
    assert rig.look() == [], "units count once, overrides do not"
    epoch = rig.registry.deployment().epoch
    rig.decide(*[exposure(f"x{n}", "a") for n in range(120)])
    (wrong,) = rig.look()
    assert wrong.counts == {"a": 270, "b": 150}
    assert (rig.registry.deployment().epoch, rig.state.experiments) == (epoch + 1, [])
    assert [freed.experiment for freed in rig.state.freed] == ["e"]
    (mark,), (told,) = rig.registry.marks("guardrail"), rig.registry.marks("experiment")
    assert (mark["rail"], mark["counts"], mark["epoch"]) == ("srm", {"a": 270, "b": 150}, epoch + 1)
    assert (told["action"], told["reason"], told["epoch"]) == ("stop", wrong.reason, epoch + 1)
    assert rig.look() == rig.restarted().look(rig.now + HOUR) == []
    assert rig.registry.fact("srm/shop/e") == {}, "its units are let go"
    assert "a 270 (64.29%, designed 50.00%)" in wrong.reason


def test_an_experiment_is_counted_anew_when_it_starts_again_or_its_split_is_forced(rigs: Any) -> None:
    rig = rigs(srm=True)
    rig.start()
    rig.decide(*[exposure(f"u{n}", "ab"[n % 2]) for n in range(100)])
    rig.look()
    rig.start(force=True, a=90, b=10)
    old = rig.registry.deployment().epoch - 1
    rig.decide(*[exposure(f"v{n}", "ab"[n % 2], epoch=old) for n in range(200)])
    assert rig.look() == [], "what was answered before the change is of the split before"
    rig.decide(
        *[exposure(f"w{n}", "b" if n % 10 == 0 else "a") for n in range(200)],
        *[exposure(f"s{n}", "b", "sticky") for n in range(200)],
    )
    assert rig.look() == [], "tokens of the split before do not count"
    assert rig.registry.fact("srm/shop/e")["counts"] == {"a": 180, "b": 20}
    write(rig.registry, stop("shop", "e", rig.now), "test", "stop")
    rig.look()
    rig.home.appended = rig.now
    rig.start(force=True)
    rig.decide(*[exposure(f"w{n}", "ab"[n % 2]) for n in range(50)])
    rig.look()
    assert rig.registry.fact("srm/shop/e")["counts"] == {"a": 25, "b": 25}


def test_one_arm_has_no_ratio(rigs: Any) -> None:
    rig = rigs(srm=True)
    rig.start(a=100)
    rig.decide(*[exposure(f"u{n}", "a") for n in range(300)])
    assert rig.look() == []


def test_whatever_a_journal_holds_is_no_exception_and_what_can_be_read_counts(rigs: Any, home: Home) -> None:
    rig = rigs(**DECLARED)
    rig.refresh(3)
    rig.start()
    assert rig.look() == [], "no tables yet"
    odd: list[dict[str, Any]] = [
        {"layers": "x"}, {"layers": [None, [], ["m"], [1, 2, 3, 4, 5, 6]]}, {"layers": None, "degraded": None},
        {"scores": [None]}, {"features": {}}, {"epoch": "soon"}, {"version": None}, {"lineage": None},
        exposure("", "a"), exposure("u", ""), exposure("ü", "a"),
    ]  # fmt: skip
    rig.decide(*odd, *[exposure(f"u{n}", "ab"[n % 2]) for n in range(100)])
    rig.home.append("paid", *(home.payment(f"t{n}", home.B + HOUR, n / 100) for n in range(1, 100)))
    rig.decide({}, minute=10 * 60)
    rig.home.append("paid", home.payment(f"t{rig.made}", home.B + 10 * HOUR, 0.5))
    rig.home.follow(rig.worker)
    assert rig.look() == []
    assert rig.registry.fact("srm/shop/e")["counts"] == {"a": 51, "b": 50}
    seen = rig.registry.fact("rails/shop")["watches"]["base"]
    assert seen["missing"][1] >= 100
    assert seen["matured"] >= 90


def test_slices_of_any_size_and_any_restart_give_equal_sums(
    rigs: Any, another: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs(**{**DECLARED, "score_range": [0, 1]})
    rig.refresh(3)
    rig.start()
    rig.look()
    random = np.random.default_rng(1)
    rig.decide(*[exposure(f"u{n % 70}", "ab"[n % 2], scores=[random.random()]) for n in range(150)])
    rig.home.append("paid", *(rig.home.payment(f"t{n}", rig.home.B + HOUR, n / 150) for n in range(1, 151)))
    rig.decide({}, minute=10 * 60)
    rig.home.append("paid", rig.home.payment("t151", rig.home.B + 10 * HOUR, 0.5))
    rig.home.follow(rig.worker)
    facts = {name: rig.registry.fact(name) for name in ("rails/shop", "srm/shop/e")}
    rig.look()
    once = {name: rig.registry.fact(name) for name in facts}
    assert once["rails/shop"]["watches"]["base"]["matured"] == 150
    for module in (watched, exposed):
        monkeypatch.setattr(module, "ROWS", 7)
    for name, fact in facts.items():
        rig.registry.put_fact(name, fact or {})
    for _ in range(40):
        rig.restarted()
        rig.now += EVERY_MS
        assert rig.warden.look(rig.now) == []
    sliced = {name: rig.registry.fact(name) for name in facts}
    assert sliced["srm/shop/e"] == once["srm/shop/e"]
    one, other = (each["rails/shop"]["watches"]["base"] for each in (once, sliced))
    assert other == {**one, "error": pytest.approx(one["error"]), "won": pytest.approx(one["won"])}


def test_a_held_lineage_is_left_alone_and_a_release_is_watched_anew(rigs: Any) -> None:
    rig = rigs(missing=0.1)
    rig.refresh(3)
    rig.look()
    write(rig.registry, rollback("shop", "base", "by hand"), "test", "held")
    rig.decide(*[{**LACKING, "version": 2}] * 60)
    assert rig.look() == []
    write(rig.registry, lift_hold("shop", "base"), "test", "lifted")
    write(rig.registry, release("shop", "base", 4), "test", "released")
    assert rig.look() == []
    assert rig.registry.marks("guardrail") == []


def test_an_unreadable_table_stops_no_other_rail(rigs: Any) -> None:
    from saima.errors import StoreError
    from saima.host.meter import Meter

    rig = rigs(missing=0.1, errors=0.02)
    rig.refresh(3)
    rig.look()
    rig.decide(*[{}] * 20)
    log = Path(rig.home.path) / "tables" / "shop" / "journal" / "_delta_log"
    for file in log.glob("*.json"):
        file.write_text("nonsense")
    meter = Meter()
    for _ in range(60):
        meter.erred("shop", "base", 3)
    rig.registry.set_status("host/1", meter.snapshot())
    with pytest.raises(StoreError, match="tables of 'shop'"):
        rig.look()
    assert rig.state.lineages["base"].routed == 2


def test_exposures_take_only_what_is_asked_for() -> None:
    import json

    import polars as pl

    rows = [
        exposure("u1", "a"),
        exposure("u2", "b", "sticky"),
        exposure("u3", "a", experiment="f"),
        exposure("u4", "a", "outside"),
        exposure("u5", "b", shadow=True),
        exposure("u6", "b", degraded=["x"]),
    ]
    frame = pl.DataFrame({"offset": range(6), "record": [json.dumps(row) for row in rows]})
    assert exposures(frame, "e") == [("u1", "a"), ("u2", "b")]
    assert exposures(frame, "e", {"hashed"}) == [("u1", "a")]
    assert exposures(frame, "e", epoch=10**6 + 1) == []
