"""Real sessions: visits to a shop (OTTO), purchases and then cancellations (Online Retail), beside naive counts."""

from __future__ import annotations

import os
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from saima.events import Event
from saima.streams.linking import Linker, parse, to_frame

DATASETS = Path(os.environ.get("SAIMA_DATASETS", Path(__file__).parents[5] / "shared" / "data"))
HALF_HOUR, DAY = 1_800_000, 86_400_000


def read(name: str) -> pl.DataFrame:
    """A file of the datasets, which are read in place; the test is skipped where they are not."""
    path = DATASETS / name
    if not path.is_file():
        pytest.skip(f"{name} is not there: set SAIMA_DATASETS")
    return pl.read_parquet(path)


def visits(rows: list[tuple[Any, ...]], gap: int) -> list[list[tuple[Any, ...]]]:
    """Rows (key, time, ...) in order, cut where the key changes or is silent for more than the gap."""
    found: list[list[tuple[Any, ...]]] = []
    for row in sorted(rows, key=lambda row: row[0]):
        if found and found[-1][-1][0] == row[0] and row[1] - found[-1][-1][1] <= gap:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def kinds(nodes: pl.DataFrame) -> dict[tuple[str, str], int]:
    return {(level, kind): count for level, kind, count in nodes.group_by("level", "kind").len().iter_rows()}


def otto() -> pl.DataFrame:
    return (
        read("otto/otto_sample.parquet")
        .select(
            key=pl.col("session").cast(pl.String),
            type="type",
            time=pl.col("ts").dt.timestamp("ms"),
            seq=pl.col("seq").cast(pl.Int64),
            id=pl.format("{}/{}", "session", "seq"),
            aid="aid",
        )
        .sort("time", "key", "seq")
    )


OTTO = parse(
    {
        "gap": HALF_HOUR,
        "lenient": True,
        "entries": {
            "clicks": {"level": "page", "name": "aid"},
            "carts": {"level": "behaviour", "name": "aid"},
            "orders": {"level": "behaviour", "name": "aid"},
        },
    },
    "otto",
)


def test_visits_of_a_shop() -> None:
    """A visit is cut at half an hour of silence; a click is a page, going back is browser-like, the rest behaviours."""
    events = otto()
    nodes = Linker(OTTO)
    found = nodes.process_batch(events).vstack(nodes.expire(2**62))
    cut = visits(list(events.select("key", "time", "type", "aid").iter_rows()), HALF_HOUR)
    back = made_up = 0
    for visit in cut:
        trail: list[int | None] = []
        if visit[0][2] != "clicks":
            made_up += 1
            trail.append(None)
        for _, _, kind, aid in visit:
            if kind != "clicks":
                continue
            if len(trail) > 1 and trail[-2] == aid:
                back += 1
                trail.pop()
            elif not trail or trail[-1] != aid:
                trail.append(aid)
    naive = {
        ("session", "entered"): len(cut),
        ("app", "synthesised"): len(cut),
        ("scene", "synthesised"): len(cut),
        ("page", "synthesised"): made_up,
        ("page", "back"): back,
        ("page", "entered"): 800 - back,
        ("behaviour", "entered"): 62,
    }
    assert kinds(found) == naive
    assert len(cut) == found.filter(pl.col("level") == "session").height
    one = Linker(OTTO)
    single = [
        node
        for key, kind, time, seq, identity, aid in events.iter_rows()
        for node in one.process(Event(key, kind, time, seq, identity, {"aid": aid}))
    ]
    assert to_frame([*single, *one.advance(2**62)]).equals(found)


RETAIL = parse(
    {
        "gap": DAY,
        "lenient": True,
        "entries": {"line": {"level": "behaviour", "name": "item", "within": {"scene": "kind", "page": "invoice"}}},
    },
    "retail",
)


def retail(customers: int) -> pl.DataFrame:
    """Lines of invoices with a customer below a number; the clock is taken as it is, a line's place is its id."""
    lines = read("retail/online_retail.parquet").with_row_index("place").filter(pl.col("CustomerID") < customers)
    return lines.select(
        key=pl.col("CustomerID").cast(pl.String),
        type=pl.lit("line"),
        time=pl.col("InvoiceDate").dt.timestamp("ms"),
        seq=pl.col("place").cast(pl.Int64),
        id=pl.col("place").cast(pl.String),
        item="StockCode",
        invoice="InvoiceNo",
        kind=pl.when(pl.col("InvoiceNo").str.starts_with("C")).then(pl.lit("cancel")).otherwise(pl.lit("buy")),
    )


def purchases_then_cancellations(customers: int) -> dict[str, int]:
    """Counts out of the linked tree, held against a program of groups."""
    lines = retail(customers)
    linker, parts = Linker(RETAIL), []
    for part in lines.iter_slices(10_000):
        parts += [linker.process_batch(part), linker.expire(int(part["time"][-1]))]
    nodes = pl.concat([*parts, linker.expire(2**62)])
    cut = visits(list(lines.select("key", "time", "kind", "invoice").iter_rows()), DAY)
    scenes = [[kind for kind, _ in groupby(row[2] for row in visit)] for visit in cut]
    pages = [[page for page, _ in groupby(row[2:] for row in visit)] for visit in cut]
    after = sum(any(a == "buy" and b == "cancel" for a, b in pairwise(s)) for s in scenes)
    of_scenes = nodes.filter(pl.col("level") == "scene").sort(
        "session_id", "entered", pl.col("node_id").str.len_bytes()
    )
    order = of_scenes.with_columns(number=pl.col("node_id").str.extract(r"-(\d+)$").cast(pl.Int64))
    then = (
        order.sort("session_id", "number")
        .group_by("session_id")
        .agg(found=((pl.col("name") == "cancel") & (pl.col("name").shift() == "buy")).any())
    )
    levels = dict(nodes.group_by("level").len().iter_rows())
    assert levels == {
        "session": len(cut),
        "app": len(cut),
        "scene": sum(map(len, scenes)),
        "page": sum(map(len, pages)),
        "behaviour": lines.height,
    }
    jumps = int(nodes["targets"].list.len().sum())
    assert jumps == sum(len(visit) - 1 for visit in pages)
    assert int(then["found"].sum()) == after
    assert linker.open == 0
    return {**levels, "jumps": jumps, "cancelled_after_buying": after}


def test_purchases_then_cancellations_of_a_tenth_of_the_customers() -> None:
    assert purchases_then_cancellations(12_900)["cancelled_after_buying"] > 0


@pytest.mark.full
def test_purchases_then_cancellations_of_all_customers() -> None:
    assert purchases_then_cancellations(10**9)["behaviour"] == 406_829
