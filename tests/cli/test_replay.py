"""The replayer: every event once, in order, a barrier before every question, and it resumes where it stopped."""

import json
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from cli.questions import Questions
from cli.replay import Replayer, Traffic
from saima.errors import SaimaError
from saima.events import Topic
from saima.features.declaration import Request
from saima.settings import Settings
from saima.stores import open_log
from saima.stores.interfaces import EventLog

ASKED = Topic("asked", {"x": pa.int64()})
HAPPENED = Topic("happened", {"x": pa.int64()})


def frame(topic: str, times: list[int]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [f"{topic}-{n}" for n in range(len(times))],
            "type": [topic] * len(times),
            "time": times,
            "seq": list(range(len(times))),
            "id": [f"{topic}:{n}" for n in range(len(times))],
            "x": list(range(len(times))),
        }
    )


TRAFFIC = Traffic(
    "echo",
    {"asked": ASKED, "happened": HAPPENED},
    {"asked": frame("asked", [100, 200, 200, 300]), "happened": frame("happened", [50, 150, 200, 250, 900])},
    "asked",
    Questions(Request(fields={"x": "int64"})),
)


class Echo:
    """Answers with what the log held when it was asked."""

    def __init__(self, log: EventLog, fail: frozenset[str] = frozenset()) -> None:
        self.log = log
        self.fail = fail
        self.heads: dict[str, int] = {}
        self.lock = threading.Lock()

    def predict(self, algorithm: str, request: dict[str, Any], *, trace: str, unit: str, time: int) -> dict[str, Any]:
        if trace in self.fail:
            raise OSError("refused")
        with self.lock:
            self.heads[trace] = self.log.head().get(0, 0)
        return {"trace": trace, "version": 1, "lineage": "l", "arm": "a", "scores": [1.0], "degraded": []}


def ids(log: EventLog) -> list[str]:
    return [text for segment in log.read({}) for text in segment.table.column("id").to_pylist()]


def replayer(log: EventLog, echo: Echo, folder: Path) -> Replayer:
    return Replayer(TRAFFIC, log, lambda: log.head().get(0, 0), echo, folder)


def test_what_has_happened_is_known_when_a_question_is_asked(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path))
    echo = Echo(log)
    replay = replayer(log, echo, tmp_path / "client")
    replay.run(0, 1000, threading.Event())
    assert sorted(ids(log)) == sorted(
        TRAFFIC.events["asked"]["id"].to_list() + TRAFFIC.events["happened"]["id"].to_list()
    )
    # at 100: asked 0 and happened 50; at 200: also happened 150 and 200 and the two questions themselves
    assert echo.heads == {"asked-0": 2, "asked-1": 6, "asked-2": 6, "asked-3": 8}
    answered = [json.loads(line)["trace"] for line in (tmp_path / "client" / "answered.jsonl").read_text().splitlines()]
    assert answered == ["asked-0", "asked-1", "asked-2", "asked-3"]


def test_a_failed_question_is_counted_and_told(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path))
    replay = replayer(log, Echo(log, frozenset({"asked-1"})), tmp_path / "client")
    replay.run(0, 1000, threading.Event())
    assert (replay.progress.predictions, replay.progress.failed) == (3, 1)
    failed = json.loads((tmp_path / "client" / "failed.jsonl").read_text())
    assert (failed["trace"], failed["error"]) == ("asked-1", "refused")


def test_it_resumes_where_it_stopped_with_every_event_once(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path))
    first = replayer(log, Echo(log), tmp_path / "client")
    first.run(0, 200, threading.Event())
    echo = Echo(log)
    replayer(log, echo, tmp_path / "client").run(0, 1000, threading.Event())
    assert sorted(echo.heads) == ["asked-1", "asked-2", "asked-3"]
    found = ids(log)
    assert len(found) == len(set(found)) == 9


def test_a_worker_that_stands_still_is_told(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path))
    replay = Replayer(TRAFFIC, log, lambda: 0, Echo(log), tmp_path / "client", barrier_seconds=0.1)
    with pytest.raises(SaimaError, match="stood at offset 0"):
        replay.run(0, 1000, threading.Event())
