"""Keys as codes, and the order of (key, time) pairs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.features.codes import KeyCodes, Moments, sort_pairs

KEYS = st.lists(st.integers(-5, 5), min_size=1) | st.lists(st.sampled_from([-(2**63), 0, 7, 2**63 - 1]), min_size=1)


@given(KEYS)
def test_whole_numbers_and_their_texts_are_one_key(keys: list[int]) -> None:
    asked = pl.Series([*keys, 3, None, 2**62])
    codes = KeyCodes(pl.Series(keys))
    found = codes.of(asked)
    assert [found[place] for place in range(len(keys))] == codes.codes.tolist()
    assert codes.of(asked.cast(pl.String)).tolist() == found.tolist()
    assert (codes.codes >= 0).all()
    assert (codes.codes < codes.size).all()
    known = dict(zip(keys, codes.codes.tolist(), strict=True))
    assert len(set(known.values())) == len(known)
    assert found[-2] == -1
    texts = KeyCodes(pl.Series([str(key) for key in keys]))
    assert (texts.of(asked) >= 0).tolist() == [key in known for key in asked]


def test_another_spelling_is_another_key() -> None:
    assert KeyCodes(pl.Series([7, 8])).of(pl.Series(["7", "07", " 7", "7.0", "+7", "é"])).tolist() == [0, *[-1] * 5]


def test_no_keys() -> None:
    assert KeyCodes(pl.Series([], dtype=pl.String)).of(pl.Series(["a"])).tolist() == [-1]
    assert KeyCodes(pl.Series([], dtype=pl.Int64)).size >= 0


@pytest.mark.parametrize("span", [1, 10**12, 2**55])
@given(data=st.data())
def test_places_follow_code_and_time(span: int, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 300), st.integers(-span, span)), min_size=1))
    codes, times = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    order = sort_pairs(codes, times)
    assert order.tolist() == sorted(range(len(pairs)), key=lambda place: (*pairs[place], place))
    keys = KeyCodes(pl.Series(codes))
    moments = Moments(keys, times)
    places = moments.places(moments.start(keys.of(pl.Series(codes))), times)[order]
    assert (np.diff(places) >= 0).all()
    asked = data.draw(st.tuples(st.sampled_from(pairs), st.integers(-2 * span, 2 * span)))
    code, time = asked[0][0], asked[1]
    start = moments.start(keys.of(pl.Series([code])))
    found = np.searchsorted(places, moments.places(start, np.array([time])))[0]
    assert found == sum(pair < (code, time) for pair in pairs)
