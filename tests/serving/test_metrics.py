"""What docs/operations asks Prometheus for is what /metrics prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from saima.host.api import app
from saima.settings import ROOT

DASHBOARD, RULES = ROOT / "docs/operations/host.dashboard.json", ROOT / "docs/operations/rules.yml"
YAML = """
algorithm: small
sources: {priced: {key: item, fields: {item: string, price: float64}}}
tables: {price: {source: priced, key: item}}
request: {fields: {x: float64, item: string}}
features: {z: {value: "log(x) + coalesce(price.price, 0)", dtype: float32, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: [z], output: y}}
journal: {full: 1.0}
"""
_METRIC = re.compile(r"\bsaima_[a-z0-9_]+")
_SELECTED = re.compile(r"(saima_[a-z0-9_]+)\{([^}]*)\}")


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


def test_every_metric_that_is_asked_for_is_printed(works: Any, served: Any) -> None:
    rule = "def predict(state, tensors):\n    return tensors['dense'][:, 0]\n"
    works.deploy(works.publish("small", {"algorithm.yaml": YAML, "rule.py": rule}))
    host = works.host()
    with served(app(host)) as url:
        for x in (1.0, 2.0, -1.0) * 200:
            host.predict({"algorithm": "small", "request": {"x": x, "item": "a"}})
        assert httpx.post(f"{url}/v1/predict", json={"algorithm": "small"}).status_code == 422
        answered = 600

        def fault_seen() -> Any:  # a sample of the requests is looked through, one a second at most
            nonlocal answered
            host.predict({"algorithm": "small", "request": {"x": -1.0, "item": "a"}})
            answered += 1
            return host.status()["faults"]

        works.eventually(fault_seen)
        text = httpx.get(f"{url}/metrics").text
    families = list(text_string_to_metric_families(text))
    samples = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    assert all(family.documentation for family in families)
    asked = {name for expression in expressions() for name in _METRIC.findall(expression)}
    assert asked <= set(samples), sorted(asked - set(samples))
    for expression in expressions():
        for name, selectors in _SELECTED.findall(expression):
            assert set(re.findall(r"(\w+)=", selectors)) <= samples[name], expression
    versions = [s for f in families for s in f.samples if s.name == "saima_answers_total"]
    assert [(s.labels["algorithm"], s.labels["lineage"], s.labels["publication"], s.value) for s in versions] == [
        ("small", "imported", "1", float(answered))
    ]
    stages = {s.labels["stage"] for f in families for s in f.samples if s.name == "saima_seconds_count"}
    assert {"extract", "score", "total"} <= stages


def test_what_the_rules_record_is_what_they_use() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {name for rule in rules for name in re.findall(r"saima:[a-z0-9_:]+", rule["expr"])}
    assert used <= recorded
    assert all(rule["annotations"]["action"] for rule in rules if "alert" in rule)


def test_promtool_takes_the_rules_and_every_panel(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    panels = [
        {"record": f"panel:{number}", "expr": expression.replace("$algorithm", ".*")}
        for number, expression in enumerate(expressions())
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    for path in (RULES, tmp_path / "panels.yml"):
        ran = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
