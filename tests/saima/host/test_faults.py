"""What features cannot compute is counted behind the answers and told to Prometheus."""

from __future__ import annotations

from pathlib import Path

from saima.features import load
from saima.features.extractor import Extractor
from saima.features.faults import RequestFaults
from saima.host.exposition import prometheus
from saima.host.meter import Meter

TEXT = """
algorithm: shares
request:
  fields: {a: int64, b: int64}
  items: {max: 10, fields: {tags: list<int64>, price: float64}}
features:
  share: {value: "a / b", dtype: float32, default: 0.0}
  root: {value: "log(item.price)", dtype: float64}
  total: {value: "sum(tags)", dtype: int64}
"""


def test_faults_of_requests_are_counted_by_feature_and_by_field(tmp_path: Path) -> None:
    (tmp_path / "shares").mkdir()
    (tmp_path / "shares" / "algorithm.yaml").write_text(TEXT, "utf-8")
    algorithm = load(tmp_path / "shares")
    counter = RequestFaults(Extractor(algorithm, None), algorithm.declaration.request)
    items = [{"tags": "1\x1dtwo", "price": -1.0}, {"tags": [3], "price": 2.0}, {"tags": None, "price": None}]
    rows, found = counter.count({"a": 1, "b": 0}, None, items, 0)
    assert (rows, found) == (3, {"item.tags": 1, "share": 3, "root": 1})
    assert counter.count({"a": 1, "b": 2}, None, items[1:2], 0) == (1, {})

    meter = Meter()
    meter.faults("shares", rows, found)
    meter.faults("shares", 1, {})
    text = prometheus({"host/1": meter.snapshot()})
    assert 'saima_feature_faults_total{host="1",algorithm="shares",feature="share"} 3' in text
    assert 'saima_feature_faults_total{host="1",algorithm="shares",feature="item.tags"} 1' in text
    assert 'saima_feature_rows_total{host="1",algorithm="shares"} 4' in text
