"""A recording as traffic for the replayer."""

from __future__ import annotations

import click
import polars as pl

from cli.questions import Questions
from cli.replay import Traffic
from saima.errors import SaimaError
from saima.features import load
from saima.recordings import load_recording, request_topic, topics
from saima.settings import Settings

_HOUR = 3_600_000


def load_traffic(settings: Settings, algorithm: str, leak: bool = False) -> tuple[Traffic, tuple[int, int]]:
    """The live part of an algorithm's recording and its span [start, end) in event time, ms UTC.

    `leak` plants a drill's fault: the topic that declares `known_at` rows comes an hour before its facts are known.
    """
    try:
        declared = load(algorithm, settings.algorithms).declaration
        recording = load_recording(settings.algorithms / algorithm, settings.datasets)
        events = {name: frame.collect() for name, frame in recording.events.items()}
        asking = request_topic(declared)
    except SaimaError as error:
        raise click.ClickException(str(error)) from error
    if leak:
        early = {table.source for table in declared.tables.values() if table.known_at}
        for name in early:
            events[name] = events[name].with_columns(pl.col("time") - _HOUR)
    end = max(int(frame["time"].to_numpy().max()) for frame in events.values()) + 1
    questions = Questions(declared.request, None if recording.candidates is None else recording.candidates.collect())
    traffic = Traffic(algorithm, topics(declared), events, asking, questions)
    return traffic, (recording.history_end, end)
