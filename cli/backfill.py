"""`saima backfill`: features of a request log over history, in parts that fit into memory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from saima.errors import SaimaError
from saima.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

MOMENTS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


@click.command("backfill")
@click.argument("name")
@click.option("--from", "start", type=click.DateTime(MOMENTS), help="Requests from this moment on, UTC.")
@click.option("--to", "end", type=click.DateTime(MOMENTS), help="Requests before this moment, UTC.")
@click.option("--rows", "file", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Parquet file of requests: their fields and `time`, ms UTC. Default: recorded ones.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@click.option("--memory", default=1024, show_default=True, help="MiB that events and rows may take at a time.")
def backfill(
    name: str, start: datetime | None, end: datetime | None, file: Path | None, out: Path, memory: int
) -> None:
    """Write the features of every request of algorithm NAME as they were known at its moment.

    The event tables may be larger than memory: they are read by time and key in as many parts as --memory asks for.
    """
    import polars as pl

    from saima.features import load
    from saima.features.backfill import stream
    from saima.recordings import event_tables, recorded_requests
    from saima.stores import open_tables

    if out.exists():
        raise SaimaError(f"{out} exists; name another file, or remove it")
    chosen = settings()
    algorithm, tables = load(name, chosen.algorithms), open_tables(chosen)
    events = event_tables(algorithm, tables)
    requests = recorded_requests(algorithm, events, chosen.datasets) if file is None else pl.scan_parquet(file)
    for moment, inside in ((start, pl.col("time").__ge__), (end, pl.col("time").__lt__)):
        if moment is not None:
            requests = requests.filter(inside(round(moment.replace(tzinfo=UTC).timestamp() * 1000)))
    parts, rows = write(stream(algorithm, requests, events, memory=memory * 2**20), out)
    if not rows:
        raise SaimaError(f"algorithm '{name}' has no request between {start or 'the beginning'} and {end or 'the end'}")
    shown = f"{rows:,} rows x {len(algorithm.declaration.features)} features"
    click.echo(f"{shown} in {parts} part{'' if parts == 1 else 's'}: {out}")


def write(parts: Iterator[pl.DataFrame], out: Path) -> tuple[int, int]:
    """Write frames as one Parquet file, which appears when it is whole; how many there were, and their rows."""
    from pyarrow.parquet import ParquetWriter

    count = rows = 0
    fresh = out.with_name(f"{out.name}.new")
    writer: ParquetWriter | None = None
    try:
        for part in parts:
            table = part.to_arrow()
            writer = writer or ParquetWriter(fresh, table.schema, compression="zstd")
            writer.write_table(table)
            count, rows = count + 1, rows + part.height
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        fresh.replace(out)
    return count, rows
