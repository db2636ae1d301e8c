"""Rules over given or recorded events, for `saima rules test`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from saima.errors import SaimaError
from saima.settings import settings
from saima.streams.matching import Matcher, RuleSet, from_frame
from saima.streams.matching.matches import Match, by_step
from saima.streams.matching.orders import RuleFile
from saima.streams.ordering import ENVELOPE, ORDER

_END = 1 << 61
_NEEDED = ("key", "type", "time")


def trial(file: RuleFile, events: Path | None, days: float, limit: int) -> Iterator[str]:
    """Lines for people: what the rules match, and what was left open at the end of the events."""
    rules = RuleSet.read(file.rules or ())
    frame = _given(events) if events is not None else _recorded(rules, days)
    matcher = Matcher(rules)
    ordered = frame.sort(*ORDER)
    found = from_frame(matcher.process_batch(ordered))
    if ordered.height:
        found += matcher.advance(int(ordered["time"].to_numpy()[-1]))
    live = matcher.live
    found += matcher.advance(_END)
    yield f"{ordered.height} events, {len(found)} matches; {live} partial matches were open at the last event"
    counts = Counter((match.rule, match.kind) for match in found)
    for name in rules.rules:
        timeouts = counts[name, "timeout"]
        yield f"  {name}: {counts[name, 'match']} matches" + (f", {timeouts} timeouts" if timeouts else "")
    for match in found[:limit]:
        yield _line(match)
    if len(found) > limit:
        yield f"and {len(found) - limit} more; --limit shows them"
    for (rule, what), count in sorted(matcher.counters.items()):
        if count:
            yield f"{rule or 'all rules'}, {what}: {count}"


def _line(match: Match) -> str:
    moment = datetime.fromtimestamp(match.time / 1000, UTC).isoformat(timespec="milliseconds")
    steps = "; ".join(f"{step} {', '.join(ids)}" for step, ids in by_step(match).items())
    fields = f"  {json.dumps(match.fields, ensure_ascii=False)}" if match.fields else ""
    kind = "" if match.kind == "match" else f" ({match.kind})"
    return f"{moment}  {match.rule}{kind}  key {match.key}  {steps}{fields}"


def _given(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise SaimaError(f"{path} is neither Parquet nor JSON lines: {error}") from error
    for name in _NEEDED:
        if name not in frame.columns:
            raise SaimaError(
                f"{path} has no column '{name}'; an event has key, type, time (ms UTC), and may have seq, id"
            )
    row = pl.int_range(pl.len())
    if "seq" not in frame.columns:
        frame = frame.with_columns(seq=row)
    if "id" not in frame.columns:
        frame = frame.with_columns(id=row.cast(pl.String))
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in ENVELOPE.items())


def _recorded(rules: RuleSet, days: float) -> pl.DataFrame:
    """The newest days of the event tables that the rules listen to."""
    from saima.stores import open_tables
    from saima.worker.catalog import catalog, declared

    tables = open_tables(settings())
    topics = [topic for topic in catalog(declared(settings().algorithms)).topics if tables.exists(f"events/{topic}")]
    if all(one.rule.on for one in rules.rules.values()):
        named = {name for one in rules.rules.values() for name in one.rule.on or ()}
        topics = [topic for topic in topics if topic in named]
    if not topics:
        raise SaimaError("this home has no recorded events of the rules' types; give a file with --events")
    scans = [tables.scan(f"events/{topic}").filter(~pl.col("late")) for topic in topics]
    newest = max(scan.select(pl.col("time").max()).collect().item() or 0 for scan in scans)
    frames = [scan.filter(pl.col("time") > newest - int(days * 86_400_000)).collect() for scan in scans]
    return pl.concat(frames, how="diagonal_relaxed")
