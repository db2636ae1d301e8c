"""A second instance, a taken port: refused with the way out."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.preflight import check_disk, check_ports, only_instance


def test_a_second_instance_is_told_who_holds_the_home(tmp_path: Path) -> None:
    body = (
        "from pathlib import Path; import sys; from cli.preflight import only_instance\n"
        "with only_instance(Path(sys.argv[1])): pass"
    )
    with only_instance(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", body, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert second.returncode != 0
    assert f"pid {os.getpid()}" in second.stderr
    with only_instance(tmp_path):
        pass


def test_a_taken_port_is_named_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(click.ClickException, match=f"port {port} is in use.*SAIMA_HOST_PORT="):
            check_ports({"SAIMA_HOST_PORT": port})


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_disk(tmp_path)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("cli.preflight.shutil.disk_usage", lambda _: usage)
    with pytest.raises(click.ClickException, match="2 GiB are needed"):
        check_disk(tmp_path)
