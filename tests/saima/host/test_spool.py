"""The spool and its drainer: every record reaches the log once, whoever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saima.events import JOURNAL
from saima.host.drain import Drainer, pack, publish
from saima.host.journal import snapshot
from saima.host.spool import FRAME, Spool, abandoned, frame, records
from saima.settings import Settings
from saima.stores import open_log


def entry(number: int) -> bytes:
    return pack("toy", f"t{number}", 1000 + number, snapshot({"trace": f"t{number}"}, None, []))


def logged(settings: Settings) -> list[dict[str, Any]]:
    log = open_log(settings)
    rows = [row for segment in log.read({}, rows=1_000_000, topics=[JOURNAL]) for row in segment.table.to_pylist()]
    log.close()
    return rows


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 300), st.integers(0, 255))
def test_a_torn_or_spoilt_tail_ends_the_records_before_it(items: list[bytes], cut: int, spoil: int) -> None:
    whole = b"".join(frame(number, item) for number, item in enumerate(items))
    assert [record.data for record in records(whole)] == items
    torn = whole[: max(0, len(whole) - cut)]
    found = [record.data for record in records(torn)]
    assert found == items[: len(found)]
    if whole and spoil:
        at = min(cut, len(whole) - 1)
        spoilt = whole[:at] + bytes([whole[at] ^ spoil]) + whole[at + 1 :]
        found = [record.data for record in records(spoilt)]
        assert found == items[: len(found)]


def test_records_of_several_threads_reach_the_log_in_order_and_the_file_goes(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    spool = Spool(tmp_path / "spool", "boot")
    drainer = Drainer(spool, open_log(settings), interval=0.005)
    drainer.start()
    threads = [threading.Thread(target=lambda: [spool.append(entry(i)) for i in range(250)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drainer.stop()
    rows = logged(settings)
    assert [row["id"] for row in rows] == [f"boot:{i}" for i in range(1000)]
    assert not spool.path.exists()


def test_a_full_disk_drops_and_counts(tmp_path: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from saima.host.spool import Spool
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
spool = Spool(Path(sys.argv[1]), "boot")
numbers = [spool.append(b"x" * 90) for _ in range(30)]
kept = [n for n in numbers if n is not None]
assert spool.written == len(kept) and spool.dropped == 30 - len(kept) > 0, (spool.written, spool.dropped)
assert [r.number for r in spool.read(0)] == kept == list(range(len(kept)))
assert spool.error, "the reason is shown"
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)


def test_a_spool_at_its_limit_drops(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "boot", limit=200)
    assert [spool.append(b"x" * 60) for _ in range(4)] == [0, 1, None, None]
    assert spool.dropped == 2
    spool.close(remove=True)


def test_the_spool_of_a_killed_process_is_taken_over_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    program = """
import sys, time
from pathlib import Path
from saima.host.drain import pack
from saima.host.journal import snapshot
from saima.host.spool import Spool
spool = Spool(Path(sys.argv[1]), "dead")
for number in range(20):
    spool.append(pack("toy", f"t{number}", number, snapshot({"a": 1}, None, [])))
print("written", flush=True)
time.sleep(60)
"""
    arguments = [sys.executable, "-c", program, str(tmp_path / "spool")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert list(abandoned(tmp_path / "spool")) == [], "it still lives"
        os.kill(process.pid, signal.SIGKILL)
    path = tmp_path / "spool" / "dead.spool"
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(frame(20, entry(20))[:-3])  # a torn record was never answered
    log = open_log(settings)
    publish(log, "dead", list(records(whole))[:7], 1)  # it had drained a part before it died
    heirs = [Drainer(Spool(tmp_path / "spool", f"heir{i}"), open_log(settings)) for i in range(2)]
    for heir in heirs:
        heir.inherit()
    for heir in heirs:
        heir.stop()
    assert [row["id"] for row in logged(settings)] == [f"dead:{i}" for i in range(20)]
    assert not path.exists()
    assert sum(heir.inherited for heir in heirs) == 20


def test_draining_the_same_records_again_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    log = open_log(settings)
    batch = list(records(b"".join(frame(i, entry(i)) for i in range(10))))
    for part in (batch[:4], batch[2:7], batch):
        publish(log, "boot", part, 1)
    assert [row["trace"] for row in logged(settings)] == [f"t{i}" for i in range(10)]


def test_a_large_record_is_drained(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "boot")
    spool.append(b"x" * 5000)
    assert [len(record.data) for record in spool.read(0, limit=100)] == [5000]
    assert spool.size == 5000 + FRAME.size
    spool.close(remove=True)


class Stuck:
    """A log whose appends wait until they are let go."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.asked, self.go = threading.Event(), threading.Event()

    def produced(self, producer: str) -> int:
        self.asked.set()
        assert self.go.wait(30)
        return int(self._log.produced(producer))

    def append(self, *arguments: Any) -> Any:
        return self._log.append(*arguments)


def test_a_log_that_is_stuck_while_the_drainer_stops_gets_the_records_later(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    log = Stuck(open_log(settings))
    spool = Spool(tmp_path / "spool", "boot")
    drainer = Drainer(spool, log, interval=0.001)  # type: ignore[arg-type]
    spool.append(entry(0))
    drainer.start()
    assert log.asked.wait(10)
    drainer.stop(timeout=0.01)
    assert "left to a successor" in drainer.error
    assert list(abandoned(tmp_path / "spool")) == [], "it is still locked, so nobody drains it twice"
    log.go.set()
    drainer.join(10)
    drainer.stop()
    assert [row["trace"] for row in logged(settings)] == ["t0"]
    assert not spool.path.exists()


def test_the_journal_drill_loses_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIMA_FAULT", "journal")
    settings = Settings(home=tmp_path)
    spool = Spool(tmp_path / "spool", "boot")
    drainer = Drainer(spool, open_log(settings))
    for number in range(300):
        spool.append(entry(number))
        drainer.attempt()
    drainer.stop()
    assert len(logged(settings)) == 299
