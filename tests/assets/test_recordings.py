"""A recording's days, its requests' topic, and what is said where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.recordings import recording
from saima.errors import DeclarationError
from saima.features import load
from saima.features.declaration import Declaration, Feature, Request, Source
from saima.recordings import request_topic
from saima.settings import ROOT


def declared(**fields: str) -> Declaration:
    return Declaration(
        algorithm="shop",
        request=Request(fields={"price": "float64", "shop": "string"}),
        sources={
            "paid": Source(key="trace", fields={"trace": "string", "shop": "string"}),
            "asked": Source(key="trace", fields={"trace": "string", **fields}),
        },
        features={"price": Feature(value="request.price", dtype="float32")},
    )


def test_flights_have_ninety_one_days_of_history() -> None:
    flights = ROOT / "algorithms" / "flight_delay"
    found = recording(flights, load("flight_delay", ROOT / "algorithms").declaration)
    assert found is not None
    assert found.days == ("2013-01-01", "2013-04-01")
    assert len(found.partitions.get_partition_keys()) == 91
    assert found.requests == "flight_scheduled"


def test_requests_are_the_topic_with_all_their_fields() -> None:
    assert request_topic(declared(price="float64", shop="string")) == "asked"
    with pytest.raises(DeclarationError, match=r"\(price, shop\).*these do: none"):
        request_topic(declared(price="float64"))


def test_two_topics_that_could_be_the_requests_are_refused() -> None:
    both = declared(price="float64", shop="string")
    twice = both.model_copy(update={"sources": {**both.sources, "again": both.sources["asked"]}})
    with pytest.raises(DeclarationError, match="these do: asked, again"):
        request_topic(twice)


def test_a_recording_without_its_span_is_refused_by_place(tmp_path: Path) -> None:
    assert recording(tmp_path, declared()) is None
    (tmp_path / "sources.py").write_text("HISTORY_END = 1\n")
    with pytest.raises(DeclarationError, match=r"sources.py:1:1: recorded_events, HISTORY_START must be defined"):
        recording(tmp_path, declared())
