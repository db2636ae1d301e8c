"""Reads of windows, noted and told to the registry."""

from __future__ import annotations

from pathlib import Path

from saima.features.windows import reads
from saima.host.reads import HOUR, Reads, tables_of
from tests.saima.host.features import NOW, write_shop


def test_a_table_is_told_at_most_once_an_hour() -> None:
    noted = Reads()
    noted.note(["a", "b"], NOW)
    noted.note(["a"], NOW + 1)
    assert noted.take() == {"a": NOW + 1, "b": NOW}
    noted.note(["a", "c"], NOW + HOUR)
    assert noted.take() == {"c": NOW + HOUR}
    noted.note(["a"], NOW + HOUR + 1)
    assert noted.take() == {"a": NOW + HOUR + 1}
    assert noted.take() == {}


def test_answers_since_the_last_look_are_reads_of_what_the_algorithm_reads() -> None:
    noted = Reads()
    tables = {"shop": ["a"], "idle": ["b"]}
    traffic = [
        {"algorithm": "shop", "answers": 1},
        {"algorithm": "shop", "answers": 2},
        {"algorithm": "idle", "answers": 0},
    ]
    noted.answered(traffic, tables.__getitem__, NOW)
    assert noted.take() == {"a": NOW}
    noted.answered(traffic, tables.__getitem__, NOW + HOUR)
    assert noted.take() == {}
    noted.answered([{"algorithm": "shop", "answers": 4}], tables.__getitem__, NOW + 2 * HOUR)
    assert noted.take() == {"a": NOW + 2 * HOUR}


def test_declared_windows_that_no_feature_reads_are_not_read(tmp_path: Path) -> None:
    shop = write_shop(tmp_path)
    tables = {one.aggregate: one.group.table for one in reads(shop.declaration)}
    assert tables_of(shop) == [tables["views"]]
    assert len(tables) == 3
