"""Which samples a training learns: nothing twice, nothing left out, the newest first predicted."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.errors import SaimaError
from saima.learning.increments import DataState, data_state, fresh, hold_out, with_replay


def samples(rows: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "trace": [f"t{n:03}" for n in range(len(rows))],
            "item": [""] * len(rows),
            "offset": [offset for offset, _ in rows],
            "label_time": [time for _, time in rows],
            "label_appended": [time + 1000 for _, time in rows],
        },
        schema_overrides={"offset": pl.Int64, "label_time": pl.Int64, "label_appended": pl.Int64},
    )


ROWS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40)


def test_state_of_the_newest_row_survives_json() -> None:
    state = data_state(samples([(0, 5), (7, 30), (9, 20)]))
    assert state == DataState({0: 9}, 30, 3, 1030)
    assert DataState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_no_samples_is_an_error() -> None:
    with pytest.raises(SaimaError, match="no samples"):
        data_state(samples([]))


@given(ROWS, ROWS)
def test_fresh_rows_are_exactly_those_after_the_position(
    old: list[tuple[int, int]], new: list[tuple[int, int]]
) -> None:
    known = samples(old)
    state = data_state(known)
    later = samples([(offset + state.position[0] + 1, time) for offset, time in new])
    both = pl.concat([known, later])
    assert fresh(both.lazy(), state).collect().height == later.height
    assert fresh(both.lazy(), None).collect().height == both.height


@given(ROWS, st.integers(0, 50), st.floats(0, 3))
def test_replay_holds_every_fresh_row_once_and_some_old_ones(
    rows: list[tuple[int, int]], position: int, share: float
) -> None:
    frame = samples(rows)
    chosen = with_replay(frame, DataState({0: position}, 0, 0), share, seed=1)
    new = frame.filter(pl.col("offset") > position)
    assert chosen["trace"].n_unique() == chosen.height
    assert set(new["trace"]) <= set(chosen["trace"])
    assert chosen.height == new.height + min(frame.height - new.height, round(new.height * share))
    assert chosen["trace"].is_sorted()
    assert chosen.equals(with_replay(frame, DataState({0: position}, 0, 0), share, seed=1))


@given(ROWS, st.integers(0, 50), st.none() | st.integers(0, 50))
def test_hold_out_splits_by_time_and_holds_only_what_the_champion_has_not_learned(
    rows: list[tuple[int, int]], count: int, epoch: int | None
) -> None:
    frame = samples(rows)
    learn, held = hold_out(frame, count, None if epoch is None else DataState({0: 0}, epoch, 1))
    assert sorted([*learn["trace"], *held["trace"]]) == sorted(frame["trace"])
    assert held.height <= count
    if held.height and learn.height:
        assert learn["label_time"].max() <= held["label_time"].min()
    if epoch is not None:
        assert (held["label_time"] > epoch).all()
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
    again, _ = hold_out(shuffled, count, None if epoch is None else DataState({0: 0}, epoch, 1))
    assert again.equals(learn)
