"""What may go and what stays."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from saima.routing import deployment
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.interfaces import BundleRow
from serving.retention import prunable, prune

LINEAGES = st.lists(st.sampled_from(["xgb", "fusion"]), max_size=30)


def row(number: int, lineage: str = "xgb", created: int = 0) -> BundleRow:
    return BundleRow(number, "a", lineage, f"d{number}", f"a:{number}", "", {}, created)


@given(LINEAGES, st.sets(st.integers(0, 29)), st.integers(0, 5))
def test_the_newest_and_the_wanted_stay(lineages: list[str], wanted: set[int], keep: int) -> None:
    rows = [row(number, lineage) for number, lineage in enumerate(lineages)]
    gone = {each.publication for each in prunable(rows, wanted, keep, now=10, grace=5)}
    assert not gone & wanted
    for lineage in ("xgb", "fusion"):
        mine = [each.publication for each in rows if each.lineage == lineage]
        newest = set(mine[len(mine) - min(keep, len(mine)) :])
        assert gone & set(mine) == set(mine) - newest - wanted


def test_the_young_stay() -> None:
    rows = [row(1, created=0), row(2, created=6), row(3, created=0)]
    assert [each.publication for each in prunable(rows, set(), 1, now=10, grace=5)] == [1]


def test_files_go_and_rows_stay(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    registry = open_registry(settings)
    numbers, folders = [], []
    for n in range(4):
        folder = tmp_path / "bentoml" / "bentos" / "a" / f"xgb-{n}"
        folder.mkdir(parents=True)
        numbers.append(registry.publish("a", "xgb", f"digest{n}", f"a:xgb-{n}", str(folder), {}))
        folders.append(folder)
    deployment.write(registry, deployment.refresh("a", "xgb", numbers[0]), "test", "first")
    gone = prune(registry, "a", keep=1, now=2**60, settings=settings)
    assert gone == numbers[1:3]
    assert [folder.is_dir() for folder in folders] == [True, False, False, True]
    assert [each.publication for each in registry.bundles("a")] == numbers
    assert prune(registry, "a", keep=1, now=2**60, settings=settings) == []
