"""Deployments: pure transitions, compare-and-set, holds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import SaimaError, StoreError
from saima.routing.deployment import (
    Deployment,
    Held,
    chain,
    configure,
    lift_hold,
    read_document,
    refresh,
    release,
    restore,
    rollback,
    write,
)
from saima.settings import Settings
from saima.stores import open_registry


def after(*transitions: object) -> Deployment:
    return chain(*transitions)(Deployment())  # type: ignore[arg-type]


def test_a_refresh_keeps_the_one_before_as_standby() -> None:
    state = after(refresh("a", "x", 1), refresh("a", "x", 2), refresh("a", "x", 3)).lineage("a", "x")
    assert (state.routed, state.standby) == (3, [2])


def test_a_late_refresh_of_an_older_bundle_changes_nothing() -> None:
    newer = after(refresh("a", "x", 5))
    assert refresh("a", "x", 4)(newer) == newer


def test_a_release_may_go_back() -> None:
    assert after(refresh("a", "x", 5), release("a", "x", 4)).lineage("a", "x").wanted == [4, 5]


def test_a_rollback_holds_the_lineage_until_it_is_lifted() -> None:
    back = after(refresh("a", "x", 1), refresh("a", "x", 2), rollback("a", "x", "worse"))
    state = back.lineage("a", "x")
    assert (state.routed, state.hold, state.quarantined) == (1, "worse", [2])
    with pytest.raises(Held, match="on hold"):
        refresh("a", "x", 3)(back)
    lifted = lift_hold("a", "x")(back)
    assert refresh("a", "x", 3)(lifted).lineage("a", "x").routed == 3
    with pytest.raises(Held, match="quarantined"):
        release("a", "x", 2)(lifted)


def test_a_hold_is_of_one_lineage() -> None:
    back = after(refresh("a", "x", 1), refresh("a", "x", 2), refresh("a", "y", 3), rollback("a", "x", "worse"))
    assert refresh("a", "y", 4)(back).lineage("a", "y").routed == 4


def test_without_a_standby_there_is_no_way_back() -> None:
    with pytest.raises(SaimaError, match="no standby"):
        after(refresh("a", "x", 1), rollback("a", "x", "worse"))


def test_the_first_lineage_is_the_default_until_another_is_named() -> None:
    made = after(refresh("a", "x", 1), refresh("a", "y", 2))
    assert made.algorithms["a"].default_lineage == "x"
    assert configure("a", default_lineage="y")(made).algorithms["a"].default_lineage == "y"


def test_a_document_reads_back_and_a_changed_one_is_refused() -> None:
    made = after(refresh("a", "x", 1), configure("a", allow_request_time=True))
    document = made.sealed()
    assert read_document(document).algorithms == made.algorithms
    assert read_document({}) == Deployment()
    spoilt = {**document, "algorithms": {}}
    with pytest.raises(StoreError, match="digest"):
        read_document(spoilt)
    with pytest.raises(StoreError, match="algorithms"):
        read_document({"digest": "x", "algorithms": 3})


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_refreshes_in_any_order_end_at_the_newest(publications: list[int]) -> None:
    state = after(*(refresh("a", "x", p) for p in publications)).lineage("a", "x")
    assert state.routed == max(publications)
    assert len(state.standby) <= 1
    assert state.routed not in state.standby


def test_writers_that_race_lose_no_change(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    open_registry(settings)

    def run(number: int) -> None:
        registry = open_registry(settings)
        for step in range(5):
            write(registry, refresh("a", f"line{number}", step + 1), "test", "race", attempts=200)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = open_registry(settings).deployment()
    lineages = read_document(row.document).algorithms["a"].lineages
    assert row.epoch == 30
    assert {state.routed for state in lineages.values()} == {5}


def test_a_change_that_changes_nothing_writes_no_epoch(tmp_path: Path) -> None:
    registry = open_registry(Settings(home=tmp_path))
    assert write(registry, refresh("a", "x", 1), "test", "first").epoch == 1
    assert write(registry, refresh("a", "x", 1), "test", "again").epoch == 1


def test_the_newest_whole_document_is_restored(tmp_path: Path) -> None:
    import sqlite3

    registry = open_registry(Settings(home=tmp_path))
    write(registry, refresh("a", "x", 1), "test", "good")
    write(registry, refresh("a", "x", 2), "test", "half-written")
    with sqlite3.connect(tmp_path / "registry.db") as connection:
        connection.execute("update deployments set document = substr(document, 1, 30) where epoch = 2")
    with pytest.raises(StoreError, match="damaged"):
        write(registry, refresh("a", "x", 3), "test", "refused")
    assert restore(registry, "test").epoch == 3
    assert read_document(registry.deployment().document).lineage("a", "x").routed == 1
