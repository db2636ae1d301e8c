"""`--conformance DIR`: more case files of the same names, run beside our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

OWN = Path(__file__).parent / "cases"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", metavar="DIR", default=None, help="folder with more conformance cases")


def case_files(config: pytest.Config, name: str) -> list[Path]:
    """Our file of a name and, where given, that of `--conformance DIR`."""
    folder = config.getoption("--conformance", default=None)
    files = [OWN / name, *([Path(folder) / name] if folder else [])]
    return [file for file in files if file.is_file()]


def read_cases(config: pytest.Config, name: str) -> list[dict[str, Any]]:
    """Cases of a name from every folder."""
    return [case for file in case_files(config, name) for case in json.loads(file.read_text("utf-8"))["cases"]]
