"""De-duplication: first one wins within the horizon, memory is bounded, state is a function of offsets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from saima.streams.dedup import CHUNK, Seen

DAY = 86_400_000


def test_an_id_counts_once_within_a_topic() -> None:
    seen = Seen()
    assert seen.judge("click", ["a", "b", "a"], [0, 1, 2], [1, 2, 3]) == [False, False, True]
    assert seen.judge("view", ["a"], [3], [4]) == [False]
    assert seen.judge("click", ["b"], [4], [5]) == [True]


def test_an_id_is_forgotten_after_the_horizon() -> None:
    seen = Seen(horizon=10)
    assert seen.judge("t", ["a", "x"], [0, 10], [1, 2]) == [False, False]
    assert seen.judge("t", ["a", "y"], [1, 11], [3, 4]) == [True, False]
    assert seen.judge("t", ["a"], [2], [5]) == [False]


def test_memory_is_bounded_and_what_it_forgets_is_counted() -> None:
    seen = Seen(chunks=2)
    for run in range(4):
        offsets = list(range(run * CHUNK, run * CHUNK + CHUNK))
        seen.judge("t", [str(offset) for offset in offsets], [run] * CHUNK, offsets)
    deleted = [key for key, data in seen.changes() if data is None]
    assert len(seen) == 2 * CHUNK
    assert seen.forgotten == 2 * CHUNK
    assert deleted == [f"{0:020d}", f"{1:020d}"]
    assert seen.judge("t", ["0", str(3 * CHUNK)], [4, 4], [4 * CHUNK, 4 * CHUNK + 1]) == [False, True]


ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 100)), max_size=60)


@given(ROWS, st.integers(1, 7), st.integers(0, 60))
def test_batching_and_restarts_change_nothing(rows: list[tuple[str, int]], size: int, restart: int) -> None:
    """Offsets are spread so that runs close and leave within a few rows."""
    spread = CHUNK // 3

    def judge(seen: Seen, start: int, stop: int) -> list[bool]:
        part = rows[start:stop]
        offsets = [spread * (start + i + 1) for i in range(len(part))]
        return seen.judge("t", [row[0] for row in part], [row[1] for row in part], offsets)

    def commit(seen: Seen, store: dict[str, bytes]) -> None:
        for key, data in seen.changes():
            if data is None:
                store.pop(key, None)
            else:
                store[key] = data

    whole, stored_whole = Seen(horizon=30, chunks=4), {}
    expected = [verdict for i in range(len(rows)) for verdict in judge(whole, i, i + 1)]
    commit(whole, stored_whole)
    split: list[bool] = []
    seen, store = Seen(horizon=30, chunks=4), {}
    for start in range(0, len(rows), size):
        split += judge(seen, start, min(start + size, len(rows)))
        commit(seen, store)
        if start <= restart < start + size:
            seen = Seen(horizon=30, chunks=4)
            seen.restore(store.items())
    assert split == expected
    commit(seen, store)
    assert store == stored_whole


class Naive:
    """The rule in a dictionary, row by row."""

    def __init__(self, horizon: int, chunks: int) -> None:
        self.known: dict[tuple[str, str], tuple[int, int]] = {}
        self.newest, self.horizon, self.chunks = -(2**62), horizon, chunks

    def judge(self, topic: str, identity: str, time: int, offset: int) -> bool:
        first = self.known.get((topic, identity))
        oldest, self.newest = self.newest - self.horizon, max(self.newest, time)
        if first and first[0] >= oldest and first[1] // CHUNK > offset // CHUNK - self.chunks:
            return True
        self.known[topic, identity] = (time, offset)
        return False


def test_columns_are_judged_as_a_naive_program_does_while_the_table_grows_and_is_made_anew() -> None:
    chance = np.random.default_rng(3)
    seen, naive, offset = Seen(horizon=40_000, chunks=12), Naive(40_000, 12), 0
    store: dict[str, bytes] = {}
    for turn in range(160):
        count = int(chance.integers(0, 900))
        topics = chance.choice(["view", "click", "journal"][: turn % 4], count) if turn % 4 else ["view"] * count
        ids = [f"identity-{number}" for number in chance.integers(0, 9_000, count).tolist()]
        times = offset * 3 + chance.integers(-2_000, 2_000, count)
        rows = list(zip(topics, ids, times.tolist(), range(offset, offset + count), strict=True))
        expected = {row[3]: naive.judge(*row) for row in rows}
        given = {topic: [row for row in rows if row[0] == topic] for topic in ("view", "click", "journal")}
        columns = [
            (
                topic,
                pa.chunked_array([[row[1] for row in of]], pa.string()),
                *np.array([row[2:] for row in of], np.int64).reshape(-1, 2).T,
            )
            for topic, of in given.items()
        ]
        found = seen.judge_columns(columns)
        verdicts = {
            row[3]: bool(again)
            for of, part in zip(given.values(), found, strict=True)
            for row, again in zip(of, part, strict=True)
        }
        assert verdicts == expected
        offset += count
        if turn % 3 == 0:
            for key, data in seen.changes():
                if data is None:
                    del store[key]
                else:
                    store[key] = data
        if turn % 48 == 45:
            seen = Seen(horizon=40_000, chunks=12)
            seen.restore(store.items())
    assert len(store) == 12 + 1  # and the newest time
    assert 0 < len(seen) <= 13 * CHUNK
