"""The API under requests made of its own OpenAPI document, right and wrong: no 5xx, no hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from saima.host.api import app
from saima.host.collector import Collector, declared_sources

YAML = """
algorithm: every
sources:
  seen: {key: item, fields: {item: string, price: "decimal(2)", tags: list<string>, at: timestamp, ok: bool}}
tables: {last: {source: seen, key: item}}
request:
  fields: {item: string, number: int64, real: float64, small: float32, sure: bool, moment: timestamp,
           words: list<string>, three: "vector<float32,3>", shares: "map<string,float64>", money: "decimal(2)"}
  user: {visitor: string}
  items: {max: 20, fields: {base: float64}}
features:
  value: {value: "base + real", dtype: float64}
  age: {value: "age(moment)", dtype: float64}
  paid: {value: "last.price", dtype: "decimal(2)"}
models: {rule: {kind: python, file: rule.py, inputs: {value: {tensor: float64, shape: []}}, output: y}}
journal: {full: 1.0}
top_k: 5
"""
ONE = """
algorithm: one
request: {fields: {x: float64}}
features: {z: {value: "log(x)", dtype: float32, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: {value: {tensor: float32, shape: [], features: [z]}}, output: y}}
"""
RULE = "def predict(state, tensors):\n    return tensors['value']\n"


@pytest.mark.parametrize("examples", [25, pytest.param(1000, marks=pytest.mark.full)])
@pytest.mark.timeout(1800)
def test_no_request_breaks_the_host(works: Any, served: Any, tmp_path: Path, examples: int) -> None:
    rows = [
        works.publish(name, {"algorithm.yaml": yaml, "rule.py": RULE}) for name, yaml in (("every", YAML), ("one", ONE))
    ]
    works.deploy(*rows, lane={"threads": 2, "deadline_ms": 60_000}, allow_request_time=True)
    host = works.host()

    def collector(_: Any) -> Collector:
        return Collector(host.log, declared_sources(works.settings.algorithms))

    # A deadline of a millisecond is answered 504, as it should be: the others are to be seen.
    (tmp_path / "schemathesis.toml").write_text('[parameters]\n"header.x-deadline-ms" = "60000"\n')
    with served(app(host, collector)) as url:
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{url}/openapi.json",
            "--checks=not_a_server_error,content_type_conformance",
            "--max-response-time=60",
            f"--max-examples={examples}",
            "--seed=1",
            "--mode=all",
            "--continue-on-failure",
            "--no-color",
            "--generation-database=none",
            "--suppress-health-check=all",
        ]
        ran = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=1700
        )
        assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
        body = {"algorithm": "one", "request": {"x": 1.0}}
        assert httpx.post(f"{url}/v1/predict", json=body, timeout=60).json()["scores"] == [0.0]
    counts = host.status()["counts"]
    assert counts.get("refused", 0) > 0
    assert counts.get("failed", 0) == counts.get("errors", 0) == 0
