"""The join of one algorithm over the log: which columns name a candidate, whose clock counts, what comes late."""

from __future__ import annotations

import polars as pl
import pytest

from saima.errors import DeclarationError
from saima.features.declaration import Declaration, Feature, Items, Label, Request, Source
from saima.streams.history import outcomes, sample_rows
from saima.streams.samples import Emitted, Prediction, SampleJoin, join_spec
from saima.worker.engines import happenings

MINUTE = 60_000
FIELDS = {"trace": "string", "item_id": "string"}
RANKING = Declaration(
    algorithm="shelf",
    request=Request(fields={"shelf": "string"}, items=Items(fields={"item_id": "string"})),
    sources={name: Source(key="trace", fields=FIELDS, lateness="10m") for name in ("shown", "clicked")},
    features={"shelf": Feature(value="request.shelf", dtype="string")},
    label=Label.model_validate(
        {"from": "clicked", "join": ["trace", "item"], "exposure": "shown", "scheme": "fnw", "attribution": "24h"}
    ),
)


class Stream:
    """Feeds a join and remembers what it emitted."""

    def __init__(self) -> None:
        self.join = SampleJoin("shelf", RANKING, lambda keys: [None] * len(keys))
        self.offset = 0
        self.rows: list[Emitted] = []

    def predict(self, trace: str, time: int, *items: str) -> None:
        self.offset += 1
        self.rows += self.join.process([Prediction(self.offset, 0, trace, time, 1, False, items, b"{}")])

    def happen(self, topic: str, trace: str | None, item: str | None, time: int, late: bool = False) -> None:
        self.offset += 1
        columns = {"trace": [trace], "item_id": [item], "time": [time], "seq": [0], "offset": [self.offset]}
        table = pl.DataFrame({**columns, "appended": [0], "late": [late]}).to_arrow()
        self.rows += self.join.process(happenings(topic, table, RANKING))

    @property
    def made(self) -> list[tuple[str, str, float, str]]:
        return [(e.sample.trace, e.sample.item, e.sample.row.label, e.sample.row.role) for e in self.rows]


def test_impressions_move_the_clock_where_clicks_are_rare() -> None:
    """Without a single click an impression becomes a negative as soon as other impressions pass the lateness."""
    stream = Stream()
    stream.predict("a", 0, "x", "y")
    stream.happen("shown", "a", "x", 100)
    assert stream.made == []
    stream.predict("b", 20 * MINUTE, "x")
    stream.happen("shown", "b", "x", 20 * MINUTE)
    assert stream.made == [("a", "x", 0.0, "assumed_negative")]
    stream.happen("clicked", "a", "x", 21 * MINUTE)
    stream.predict("c", 40 * MINUTE, "x")
    stream.happen("shown", "c", "x", 40 * MINUTE)
    assert sorted(stream.made[1:]) == [("a", "x", 1.0, "correction"), ("b", "x", 0.0, "assumed_negative")]


def test_a_record_that_comes_hours_later_still_makes_its_samples() -> None:
    """A host died with it in its spool; its successor sends it when the others are far ahead."""
    stream = Stream()
    stream.happen("shown", "a", "x", 100)
    stream.happen("clicked", "a", "x", 5 * MINUTE)
    for minute in (60, 120, 180):
        stream.predict(f"t{minute}", minute * MINUTE, "x")
        stream.happen("shown", f"t{minute}", "x", minute * MINUTE)
    stream.predict("a", 0, "x", "y")
    assert [row for row in stream.made if row[0] == "a"] == [
        ("a", "x", 0.0, "assumed_negative"),
        ("a", "x", 1.0, "correction"),
    ]
    assert stream.join.counters["late"] == 0


def test_outcomes_without_a_trace_or_an_item_are_orphans_and_late_ones_are_counted() -> None:
    stream = Stream()
    stream.predict("a", 0, "x")
    stream.happen("shown", None, "x", 1)
    stream.happen("shown", "a", None, 1)
    stream.happen("clicked", "a", "x", 1, late=True)
    stream.happen("shown", "b", "x", 60 * MINUTE)
    stream.happen("clicked", "a", "x", 1)
    counters = stream.join.counters
    assert (counters["orphan"], counters["late"]) == (2, 2)


def test_the_stream_emits_what_history_says() -> None:
    stream = Stream()
    for place in range(40):
        trace, time = f"t{place}", place * 5 * MINUTE
        stream.predict(trace, time, "x", "y", "z")
        stream.happen("shown", trace, "xyz"[place % 3], time + 100)
        if place % 4 == 0:
            stream.happen("clicked", trace, "xyz"[place % 3], time + 200 + place * 1000)
    predictions = pl.DataFrame(
        [(f"t{place}", item, place * 5 * MINUTE) for place in range(40) for item in "xyz"],
        schema=["trace", "item", "time"],
        orient="row",
    )
    shown = [(f"t{place}", "xyz"[place % 3], place * 5 * MINUTE + 100, 0) for place in range(40)]
    clicked = [(trace, item, time + 100 + int(trace[1:]) * 1000, 0) for trace, item, time, _ in shown[::4]]
    frames = {
        name: outcomes(
            RANKING, name, pl.DataFrame(rows, schema=["trace", "item_id", "time", "seq"], orient="row").lazy()
        )
        for name, rows in (("shown", shown), ("clicked", clicked))
    }
    due = sample_rows(
        join_spec(RANKING), predictions.lazy(), frames["clicked"], frames["shown"], stream.join.watermark
    ).collect()
    assert sorted(stream.made) == sorted(due.select("trace", "item", "label", "role").rows())
    assert len(stream.made) > 40


def test_a_source_without_an_item_is_refused() -> None:
    plain = {"trace": "string", "thing": "string"}
    broken = RANKING.model_copy(update={"sources": {**RANKING.sources, "shown": Source(key="trace", fields=plain)}})
    with pytest.raises(DeclarationError, match="source 'shown' has no field item_id or item"):
        outcomes(broken, "shown", pl.LazyFrame())


def test_an_item_field_means_nothing_where_the_label_is_joined_by_trace() -> None:
    by_trace = RANKING.model_copy(update={"label": RANKING.label.model_copy(update={"join": ["trace"]})})  # type: ignore[union-attr]
    table = pl.DataFrame({"trace": ["a"], "item_id": ["x"], "time": [1], "seq": [0], "offset": [1], "appended": [0],
                          "late": [False]}).to_arrow()  # fmt: skip
    (happening,) = happenings("shown", table, by_trace)
    assert (happening.trace, happening.item) == ("a", "")
