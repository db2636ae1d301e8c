"""A process that gives way is nice, and so is the session that it alone is in; a thread is so alone."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from saima.priority import thread_gives_way

CODE = """
import os
from pathlib import Path
from saima.priority import give_way
give_way(12)
give_way(5)
group = Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text() if group.exists() else "")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sessions share the CPU on Linux alone")
def test_the_process_and_its_session_are_nice() -> None:
    found = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, start_new_session=True
    ).stdout
    assert found.startswith("12 ")
    group = re.search(r"nice (-?\d+)", found)
    assert Path("/proc/self/autogroup").exists() == (group is not None)
    assert group is None or group.group(1) == "12"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux alone")
def test_a_thread_is_nice_alone() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    found: list[int] = []

    def work() -> None:
        for nice in (before + 2, before + 1):
            thread_gives_way(nice)
            found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before + 2] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
