"""The recorded impressions hold what their SOURCE.md says, with one item table a campaign."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from saima.errors import SaimaError
from saima.recordings import Recording, load_recording

FOLDER = Path("algorithms/fashion_ranking")


@pytest.fixture(scope="module")
def recording() -> Recording:
    return load_recording(FOLDER, Path("datasets"))


@pytest.fixture(scope="module")
def events(recording: Recording) -> dict[str, pl.DataFrame]:
    return {name: frame.collect() for name, frame in recording.events.items()}


def test_counts_are_those_of_the_source(events: dict[str, pl.DataFrame]) -> None:
    assert {name: frame.height for name, frame in events.items()} == {
        "ranking_asked": 40_000,
        "impression": 40_000,
        "click": 195,
        "item_listed": 114,
    }
    for frame in events.values():
        assert frame["id"].n_unique() == frame.height
        assert frame["time"].is_sorted()


def test_clicks_by_policy_and_campaign_are_those_of_the_source(events: dict[str, pl.DataFrame]) -> None:
    clicked = events["click"].join(events["impression"].select("trace", "policy"), on="trace")
    counts = {row[:2]: row[2] for row in clicked.group_by("policy", "campaign").len().iter_rows()}
    assert counts == {("random", "all"): 38, ("bts", "all"): 42, ("random", "men"): 46, ("bts", "men"): 69}


def test_propensities_of_the_random_policy_are_uniform(events: dict[str, pl.DataFrame]) -> None:
    random = events["impression"].filter(pl.col("policy") == "random")
    found = random.group_by("campaign").agg(pl.col("propensity").min().alias("low"), pl.col("propensity").max())
    for campaign, low, high in found.iter_rows():
        assert low == pytest.approx(1 / {"all": 80, "men": 34}[campaign])
        assert low == high


def test_items_are_told_apart_by_campaign(events: dict[str, pl.DataFrame], recording: Recording) -> None:
    assert recording.candidates is not None
    candidates = recording.candidates.collect()
    assert candidates["item_id"].n_unique() == candidates.height == 114
    shown = events["impression"].join(candidates, on=["campaign", "item_id"], how="anti")
    assert shown.is_empty(), "every item that was shown is one of its campaign's"


def test_item_features_do_not_tell_the_policy(events: dict[str, pl.DataFrame]) -> None:
    """In the source the hashes of each policy's folder differ; a join by policy would be a perfect label of it."""
    shown = events["impression"].join(events["item_listed"], on="item_id")
    for feature in ("brand", "category", "style"):
        policies = shown.group_by("campaign", feature).agg(pl.col("policy").n_unique())
        assert set(policies["policy"]) == {2}, feature


def test_a_ranking_is_asked_before_its_impression_and_a_click_comes_after(events: dict[str, pl.DataFrame]) -> None:
    shown = events["impression"].join(events["ranking_asked"].select("trace", asked="time"), on="trace")
    assert shown["trace"].n_unique() == 40_000
    assert set(shown["time"] - shown["asked"]) == {100}
    clicked = events["click"].join(
        events["impression"].select("trace", "item_id", shown="time"), on=["trace", "item_id"]
    )
    assert clicked.height == 195
    assert (clicked["time"] - clicked["shown"]).is_between(2_000, 1_800_000).all()


def test_vectors_of_likeness_are_symmetric_and_leave_the_item_out(events: dict[str, pl.DataFrame]) -> None:
    for (_,), items in events["item_listed"].group_by("campaign"):
        rows = items.sort("place")
        for name in ("like_category", "like_style"):
            matrix = rows[name].to_list()
            assert all(matrix[i][i] == 0.0 for i in range(rows.height))
            assert all(matrix[i][j] == matrix[j][i] for i in range(rows.height) for j in range(i))


def test_a_missing_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(SaimaError, match=r"random_all.parquet is missing; restore it"):
        load_recording(FOLDER, tmp_path).events  # noqa: B018  it is read when it is asked for
