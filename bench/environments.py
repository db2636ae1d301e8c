"""Environments of the peers: one each under build/bench/, installed from its lock with hashes, apart from ours."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lock_of(peer: str) -> Path:
    """Lock of a peer, in the folder of the benchmark that it belongs to. Raises FileNotFoundError if it has none."""
    for found in Path(__file__).parent.glob(f"*/requirements-{peer}.lock"):
        return found
    raise FileNotFoundError(f"no requirements-{peer}.lock in a folder of {Path(__file__).parent}")


def versions_of(*peers: str) -> dict[str, str]:
    """Versions of the peers, as their locks say."""
    found = {}
    for peer in peers:
        for line in lock_of(peer).read_text("utf-8").splitlines():
            if line.startswith(f"{peer}=="):
                found[peer] = line.partition("==")[2].split()[0]
    return found


def python_of(peer: str) -> Path:
    """Interpreter of a peer's environment, which is made if it is not there or its lock has changed.

    Raises FileNotFoundError for a peer without a lock, CalledProcessError if the installation fails.
    """
    lock = lock_of(peer)
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder = ROOT / "build" / "bench" / peer
    python, mark = folder / "bin" / "python", folder / ".lock"
    if mark.is_file() and mark.read_text() == wanted:
        return python
    print(f"installing {peer} into {folder.relative_to(ROOT)} ...", file=sys.stderr)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock], check=True)
    mark.write_text(wanted)
    return python


def environment(**more: str) -> dict[str, str]:
    """Variables of a peer's process: nothing of ours leaks in, nobody phones home, one thread a library unless told."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    quiet = {"FEAST_USAGE": "False", "OTEL_SDK_DISABLED": "true", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    threads = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
    return {**kept, **threads, **quiet, **more}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(python_of(name))
