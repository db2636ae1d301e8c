"""The client against real hosts: sub-batches, Arrow, embedded, clusters; one answer whatever the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from saima_client import BudgetSpent, Client, Clusters, Refused, read_clusters

from saima.host.api import app

RULE = "def predict(state, tensors):\n    return tensors['dense'][:, 0] * 3 + %d\n"
YAML = """
algorithm: rank
request: {fields: {x: float64}, items: {fields: {base: float64}}}
features: {value: {value: "base % 7 - x", dtype: float32}}
models: {rule: {kind: python, file: rule.py, inputs: [value], output: y}}
journal: {full: 1.0}
"""


def files(number: int = 0, top_k: int | None = None, name: str = "rank") -> dict[str, str]:
    yaml = YAML.replace("algorithm: rank", f"algorithm: {name}") + (f"top_k: {top_k}\n" if top_k else "")
    return {"algorithm.yaml": yaml, "rule.py": RULE % number}


ITEMS = [{"item_id": f"i{n}", "base": float(n * 5 % 23) if n % 11 else None} for n in range(103)]


@pytest.fixture
def host(works: Any) -> Any:
    works.deploy(
        works.publish("rank", files()),
        works.publish("best", files(top_k=10, name="best")),
        lane={"threads": 2, "deadline_ms": 20_000},
        allow_request_time=True,
    )
    return works.host()


@pytest.mark.parametrize("algorithm", ["rank", "best"])
def test_every_way_gives_one_answer(works: Any, served: Any, host: Any, algorithm: str) -> None:
    """HTTP in JSON and Arrow, in this process, whole and in sub-batches."""
    with served(app(host)) as url:
        ways = {
            "json": Client(url, 30),
            "arrow": Client(url, 30, arrow=True),
            "parts": Client(url, 30, batch=9),
            "arrow in parts": Client(url, 30, batch=50, arrow=True),
            "embedded": Client(host, 30),
            "embedded in parts": Client(host, 30, batch=1),
        }
        answers = {}
        for name, client in ways.items():
            with client:
                answers[name] = client.predict(algorithm, {"x": 0.5}, items=ITEMS, trace=name, time=1000)
                with pytest.raises(Refused) as caught:
                    client.predict(algorithm, {"x": "?"}, items=ITEMS)
                assert (caught.value.status, caught.value.field) == (422, "/request/x")
    plain = {name: {k: v for k, v in a.items() if k not in ("trace", "attempt")} for name, a in answers.items()}
    assert all(each == plain["json"] for each in plain.values())
    assert len(plain["json"]["items"]) == (10 if algorithm == "best" else len(ITEMS))
    assert [a["trace"] for a in answers.values()] == list(ways)


def test_sub_batches_are_one_trace_of_disjoint_items_and_numbered_attempts(works: Any, served: Any, host: Any) -> None:
    with served(app(host)) as url, Client(url, 30, batch=20) as client:
        client.predict("rank", {"x": 0.5}, items=ITEMS, trace="t")
    works.stop()
    records = works.journal()
    assert {record["trace"] for record in records} == {"t"}
    assert sorted(record["attempt"] for record in records) == list(range(1, 7))
    assert [(record["part"], record["parts"]) for record in sorted(records, key=lambda record: record["part"])] == [
        (part, 6) for part in range(6)
    ]
    asked = [item["item_id"] for record in records for item in record["items"]]
    assert sorted(asked) == sorted(item["item_id"] for item in ITEMS)


def test_a_swap_between_sub_batches_gives_an_answer_of_one_version(works: Any, host: Any) -> None:
    """One sub-batch is answered by the version before, which is found out and asked for again."""
    second = works.publish("rank", files(100))

    class Swapping:
        asked = 0
        lock = threading.Lock()

        def predict(self, body: dict[str, Any], seconds: float) -> Any:
            with self.lock:
                self.asked += 1
                answer = host.predict(body, seconds)
                if self.asked == 2:
                    works.deploy(second)
                    works.eventually(lambda: host.status()["epoch"] == works.registry.deployment().epoch)
                    works.eventually(lambda: host.predict(body)["version"] == second.publication)
                return answer

    swapping = Swapping()
    with Client(swapping, 60, batch=30) as client:
        answer = client.predict("rank", {"x": 0.5}, items=ITEMS)
    whole = host.predict({"algorithm": "rank", "request": {"x": 0.5}, "items": ITEMS})
    assert swapping.asked > 4
    assert (answer["version"], answer["scores"]) == (second.publication, whole["scores"])


def test_a_map_sends_algorithms_to_their_clusters(works: Any, served: Any, host: Any, tmp_path: Path) -> None:
    with served(app(host)) as url:
        path = tmp_path / "clusters.toml"
        path.write_text(f'[urls]\ndefault = "http://127.0.0.1:9"\nranking = "{url}"\n[algorithms]\nrank = "ranking"\n')
        with Client(read_clusters(path), 5, hedge=False) as client:
            assert client.predict("rank", {"x": 0.5}, items=ITEMS)["algorithm"] == "rank"
            with pytest.raises(BudgetSpent, match="Connect"):
                client.predict("best", {"x": 0.5}, items=ITEMS, budget_s=0.2)
    path.write_text('[urls]\na = "http://x"\n[algorithms]\nrank = "b"\n')
    with pytest.raises(ValueError, match=r"clusters\.toml: algorithm 'rank' is mapped to cluster 'b'; there are a"):
        read_clusters(path)
    with pytest.raises(LookupError, match="no cluster answers 'other'"):
        Client(Clusters({"a": "http://x"})).predict("other", {})
