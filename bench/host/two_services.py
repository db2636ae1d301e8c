"""The usual plans beside ours: features from a store in one process, JSON to a model service in another.

    python bench/host/two_services.py --home FOLDER [--rounds N]

By hand: the 100 features of every candidate are computed before and lie packed in LMDB; a request reads 500 of them and
posts them as JSON. They are as old as their last computation, which is not counted; ours are computed in the request.
The scores must be those of our bundle. Feast is measured in its own environment (bench/features/feast_peer.py) and only
fetches; the posting of as many values is the same as here. JSON on stdout: p50 of the whole and of the posting, ms, and
the CPU that both processes spend on a request.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx
import lmdb
import numpy as np
import psutil
import workload
from server import cores, free_port, started, wait

from saima.features.extractor import Extractor
from saima.host.bundle import Bundle
from saima.settings import Settings
from saima.stores import open_online, open_registry


def computed(settings: Settings) -> tuple[Bundle, np.ndarray]:
    """The bundle, and the float32 features of every item for one user."""
    row = next(row for row in open_registry(settings).bundles(workload.NAME) if row.lineage == "main")
    bundle = Bundle.open(row.path)
    store = open_online(0, settings)
    items = [{"item_id": f"i{n}"} for n in range(workload.online.ITEMS)]
    found = Extractor(bundle.algorithm, store).extract({}, {"user": "u0"}, items, workload.NOW)
    matrix = np.array(found.matrix(tuple(bundle.algorithm.plan.features)))
    store.close()
    return bundle, matrix


def measure(settings: Settings, rounds: int) -> dict[str, Any]:
    """Whole requests of the plan by hand, and of the posting in it."""
    bundle, matrix = computed(settings)
    model = bundle.models["trees"]
    expected = np.asarray(model.booster.inplace_predict(matrix, missing=np.nan), np.float64)
    rng = np.random.default_rng(2)
    server, client = cores()
    os.sched_setaffinity(0, client)
    with tempfile.TemporaryDirectory(prefix="two-") as text:
        folder = Path(text)
        model.save(folder)
        environment = lmdb.open(str(folder / "rows"), map_size=1 << 28)
        with environment.begin(write=True) as transaction:
            for number, row in enumerate(matrix):
                transaction.put(f"i{number}".encode(), row.tobytes())
        port = free_port()
        bentoml = str(Path(sys.executable).with_name("bentoml"))
        command = [bentoml, "serve", "model_service:Model", "--host", "127.0.0.1", "--port", str(port),
                   "--working-dir", str(Path(__file__).parent)]  # fmt: skip
        variables = {"BENCH_MODEL": str(folder / "model.ubj"), "BENTOML_DO_NOT_TRACK": "true",
                     "BENTOML_HOME": str(settings.home / "bentoml")}  # fmt: skip
        with (
            started(command, server, folder / "log", **variables) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http,
        ):
            wait(lambda: _answers(http), 120, folder / "log")
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            whole, posted, own = [], [], []
            before = 0.0
            for number in range(2 * rounds):
                if number == rounds:
                    before = _cpu(tree)
                chosen = rng.choice(len(matrix), workload.CANDIDATES, replace=False)
                begun, busy = time.perf_counter(), time.process_time()
                with environment.begin() as transaction:
                    rows = np.frombuffer(b"".join(transaction.get(f"i{n}".encode()) for n in chosen), np.float32)
                table = rows.reshape(len(chosen), -1)
                listed = [[None if value != value else value for value in row] for row in table.tolist()]
                at = time.perf_counter()
                scores = http.post("/predict", json={"rows": listed}).raise_for_status().json()
                ended = time.perf_counter()
                if number >= rounds:
                    whole.append(ended - begun)
                    posted.append(ended - at)
                    own.append(time.process_time() - busy)
                assert scores == expected[chosen].tolist(), "the plans answer differently"
            theirs = (_cpu(tree) - before) / rounds
    return {"whole_ms": float(np.median(whole) * 1000), "post_ms": float(np.median(posted) * 1000),
            "cpu_ms": float((np.mean(own) + theirs) * 1000), "service_cpu_ms": theirs * 1000}  # fmt: skip


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes if process.is_running()]
    return sum(one.user + one.system for one in times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=50)
    given = parser.parse_args()
    print(json.dumps(measure(workload.prepare(given.home), given.rounds)))


if __name__ == "__main__":
    main()
