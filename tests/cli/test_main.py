"""The command: its help, its laziness, its errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from cli.main import COMMANDS, main, saima


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom cli.main import saima\n"
        "print(CliRunner().invoke(saima, ['--help']).output)\n"
        "heavy = {'polars', 'pydantic', 'dagster', 'numpy', 'rich', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for name in COMMANDS:
        assert f"  {name}" in ran.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    ran = CliRunner().invoke(saima, [name, "--help"])
    assert ran.exit_code == 0, ran.output
    assert "Usage: " in ran.output


def test_a_misspelt_command_is_proposed() -> None:
    ran = CliRunner().invoke(saima, ["statsu"])
    assert ran.exit_code == 2
    assert "did you mean 'status'?" in ran.output


def test_an_error_that_a_person_can_mend_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "flight_dely"])
    assert ended.value.code == 1
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert "did you mean 'flight_delay'" in text
    assert "Traceback" not in text
