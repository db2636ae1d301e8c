from __future__ import annotations

from pathlib import Path

import pytest

from saima.errors import DeclarationError
from saima.quality import load_suites


def write(root: Path, name: str, text: str) -> None:
    path = root / "ctr" / "expectations" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_suites_by_name_with_what_they_extend(tmp_path: Path) -> None:
    write(tmp_path, "base", "checks: [{kind: not_null, column: a}]")
    write(
        tmp_path, "clicks", "tables: [events/click]\nextends: [any_event, base]\nchecks: [{kind: not_null, column: b}]"
    )
    suites = load_suites("ctr", tmp_path)
    assert list(suites) == ["base", "clicks"]
    assert suites["clicks"].tables == ["events/click"]
    columns = [",".join(check.columns_read) for check in suites["clicks"].checks]
    assert columns[0] == "key"
    assert columns[-2:] == ["a", "b"]


def test_no_suites(tmp_path: Path) -> None:
    assert load_suites("none", tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("checks:\n  - {kind: betwen, column: a}", "2:5", "betwen"),
        ("checks:\n  - {kind: between, column: a}", "2:5", "give min, max or both"),
        ("checks:\n  - {kind: between, column: a, min: 3, max: 2}", "2:5", "min 3 is above max 2"),
        ("checks:\n  - {kind: not_null, column: a, share: 2}", "2:40", "less than or equal to 1"),
        (
            "checks:\n  - {kind: type, column: 1, type: int64}",
            "2:26",
            "checks.0.column: Input should be a valid string",
        ),
        ("checks:\n  - {kind: not_null, colum: a}", "2:5", "Field required"),
        ("checks:\n  - {kind: type, column: a, type: int46}", "2:5", "did you mean 'int64'"),
        ("checks:\n  - {kind: in_set, column: a, values: []}", "2:39", "at least 1 item"),
        ("check: []", "1:8", "Extra inputs"),
        ("extends: [nobody]", "1:11", "'nobody' is no suite"),
        ("extends: [bad]", "1:11", "'bad' extends itself"),
        ("checks: [}", "1:10", "node content"),
        ("- 1", "1:1", "a suite is a mapping"),
        ("", "1:1", "a suite is a mapping"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path: Path, text: str, place: str, message: str) -> None:
    write(tmp_path, "bad", text)
    with pytest.raises(DeclarationError, match=message) as caught:
        load_suites("ctr", tmp_path)
    assert f"bad.yaml:{place}: " in str(caught.value)
