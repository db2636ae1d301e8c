"""Team draft: fair to equal rankings, quick to see a better one; votes are of users."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ab.estimates import Estimate, NoResult
from ab.interleaving import compare, team_draft

RANKINGS = st.permutations(range(8))


@settings(deadline=None)
@given(RANKINGS, RANKINGS, st.integers(1, 10), st.text(max_size=5))
def test_a_draft_is_a_fair_list(a: list[int], b: list[int], k: int, salt: str) -> None:
    draft = team_draft(a, b, k, salt)
    assert len(set(draft.items)) == len(draft.items) == min(k, 8)
    assert set(draft.items) == set(range(8)) or len(draft.items) == k
    assert all(
        abs(draft.teams[: n + 1].count("a") - draft.teams[: n + 1].count("b")) <= 1 for n in range(len(draft.teams))
    )
    assert draft.items[0] == (a if draft.teams[0] == "a" else b)[0]
    assert draft == team_draft(a, b, k, salt)
    assert draft.credit(draft.items) == draft.teams.count("b") - draft.teams.count("a")


def votes(users: int, better: bool, seed: int) -> pl.LazyFrame:
    """Users who click on even items; ranking b has them on top if it is better, else both rank alike at random."""
    random, rows = np.random.default_rng(seed), []
    for user in range(users):
        for visit in range(3):
            a = random.permutation(10).tolist()
            b = sorted(a, key=lambda item: item % 2) if better else random.permutation(10).tolist()
            draft = team_draft(a, b, 5, f"{user}/{visit}")
            clicked = {item for item in draft.items if random.random() < (0.4 if item % 2 == 0 else 0.1)}
            rows.append({"unit": str(user), "credit": draft.credit(clicked)})
    return pl.LazyFrame(rows)


def test_a_better_ranking_wins_and_equal_ones_do_not() -> None:
    won = compare(votes(300, True, 1))
    assert isinstance(won, Estimate)
    assert won.effect > 0
    assert won.p_value < 0.001
    alarms = [compare(votes(100, False, seed)) for seed in range(60)]
    assert sum(isinstance(each, Estimate) and each.p_value < 0.05 for each in alarms) <= 8


def test_a_user_has_one_vote() -> None:
    one = pl.DataFrame({"unit": [str(n) for n in range(40)], "credit": [1, 1, 1, -1] * 10})
    once, often = compare(one.lazy()), compare(pl.concat([one] * 9).lazy())
    assert once == often
    assert isinstance(once, Estimate)
    assert once.treatment == pytest.approx(0.5)


def test_nothing_to_say() -> None:
    assert isinstance(compare(pl.LazyFrame({"unit": ["u"], "credit": [1]})), NoResult)
    assert isinstance(compare(pl.LazyFrame({"unit": ["u", "v"], "credit": [1, 2]})), NoResult)
