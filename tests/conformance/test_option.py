"""`--conformance DIR` runs what is in DIR, fails what it does not know, and names what it leaves out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(folder: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "extra", "-v", "-rA", "--tb=line"]
    return subprocess.run(
        [*command, "--conformance", str(folder), *(str(HERE / test) for test in tests)],
        capture_output=True, text=True, timeout=120, cwd=HERE.parents[1], check=False,
    )  # fmt: skip


def test_cases_of_another_folder_run_on_every_path(tmp_path: Path) -> None:
    def write(name: str, *cases: dict[str, object]) -> None:
        (tmp_path / f"{name}.json").write_text(json.dumps({"about": "", "cases": cases}))

    plus = {"meaning": "plus", "expression": "a + b", "fields": {"a": "int64", "b": "int64"}, "dtype": "int64",
            "rows": [{"a": 1, "b": 2}]}  # fmt: skip
    write("operators", {"id": "extra-right", **plus, "expect": [3]}, {"id": "extra-wrong", **plus, "expect": [4]},
          {"id": "extra-strange", **plus, "expect": [3], "mode": "fast"})  # fmt: skip
    row = {"key": "a", "valid_from": 5, "value": 1.5}
    write("lookups", {"id": "extra-lookup", "meaning": "", "uses_known_at": False, "ttl_ms": None, "rows": [row],
                      "queries": [{"t": 5, "key": "a"}, {"t": 4, "key": "a"}], "expect": [1.5, None]})  # fmt: skip
    write("windows", {"id": "extra-window", "meaning": "", "measure": "median", "window_ms": 60_000, "hop_ms": 0,
                      "value_dtype": "int64", "events": [{"t": 1, "seq": 0, "key": "a", "value": 1}],
                      "queries": [{"t": 2, "key": "a"}], "expect": [1]})  # fmt: skip
    write("others")
    found = run(tmp_path, "test_operators.py", "test_lookups.py", "test_windows.py")
    assert (
        f"conformance {tmp_path}: lookups.json 1, operators.json 3, windows.json 1; not run: others.json"
        in found.stdout
    )
    lines = [line for line in found.stdout.splitlines() if "::" in line]
    for name, outcome, paths in (("right", "PASSED", 3), ("wrong", "FAILED", 3), ("strange", "FAILED", 3),
                                 ("lookup", "PASSED", 7), ("window", "FAILED", 8)):  # fmt: skip
        ran = [line for line in lines if f"extra-{name}" in line and line.startswith(outcome)]
        assert len(ran) == paths, found.stdout
    assert "case extra-strange: unknown kind of case, with mode" in found.stdout
    assert "unknown measure 'median'" in found.stdout


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    found = run(tmp_path / "none", "test_lookups.py")
    assert found.returncode != 0
    assert f"--conformance: '{tmp_path / 'none'}' is not a folder" in found.stdout + found.stderr
