"""A version that fails on live requests goes back by itself: a real host counts, the warden acts, the host follows."""

from __future__ import annotations

from typing import Any

import pytest

from saima.errors import SaimaError
from saima.routing.deployment import configure, read_document, write
from saima.routing.layout import Layout
from saima.stores import open_tables
from saima.worker.warden import EVERY_MS, Warden

YAML = """
algorithm: small
request: {fields: {x: float64}}
features: {z: {value: "x", dtype: float32, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: [z], output: y}}
"""
GOOD = "def predict(state, tensors):\n    return tensors['dense'][:, 0]\n"
BAD = "def predict(state, tensors):\n    assert tensors['dense'].max() < 100\n    return tensors['dense'][:, 0]\n"
NOW = 1_700_000_000_000


def test_what_fails_on_live_requests_goes_back_and_its_standby_answers(works: Any) -> None:
    first = works.publish("small", {"algorithm.yaml": YAML, "rule.py": GOOD})
    works.deploy(first)
    host = works.host()
    works.eventually(lambda: host.ready)
    second = works.publish("small", {"algorithm.yaml": YAML, "rule.py": BAD})
    works.deploy(second)
    rails = Layout.model_validate({"guardrails": {"errors": 0.02}})
    write(works.registry, configure("small", layout=rails), "test", "rails")
    small, large = ({"algorithm": "small", "request": {"x": x}} for x in (1.0, 1000.0))
    works.eventually(lambda: host.predict(small)["version"] == second.publication)
    warden, now = Warden(works.registry, open_tables(works.settings)), NOW

    def ask_and_look() -> Any:
        nonlocal now
        for _ in range(10):
            host.predict(small)
            with pytest.raises(SaimaError):
                host.predict(large)
        now += EVERY_MS
        return warden.look(now)

    (breach,) = works.eventually(ask_and_look)
    assert (breach.rail, breach.publication) == ("errors", second.publication)
    works.eventually(lambda: host.predict(small)["version"] == first.publication)
    assert host.predict(large)["version"] == first.publication
    lineage = read_document(works.registry.deployment().document).algorithms["small"].lineages[first.lineage]
    assert (lineage.quarantined, lineage.hold) == ([second.publication], breach.reason)
    (mark,) = works.registry.marks("guardrail")
    assert mark["rolled_back"]
    assert mark["bad"] <= mark["of"] // 2 + 1
