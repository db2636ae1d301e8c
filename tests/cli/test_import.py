"""`saima import`: from the XML file to a published bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import saima
from saima.settings import settings
from saima.stores import open_registry

FILE = """<prediction>
  <feature_tables><table name="rooms" alias="room" tag="item" key="item_id" query_type="sync"/></feature_tables>
  <feature_extract_config>
    <fea name="level" dataType="int64" default="0" extractor="Bucket($room.shown, $bucket.shown)"/>
  </feature_extract_config>
  <model_list><id model_name="gift" model_type="pb" out_names="amount"/></model_list>
</prediction>
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAIMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAIMA_ALGORITHMS", str(tmp_path / "algorithms"))
    settings.cache_clear()
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "buckets.json").write_text('{"shown": [1, 10]}')
    (tmp_path / "a.xml").write_text(FILE)
    yield tmp_path
    settings.cache_clear()


def run(place: Path, *more: str) -> str:
    arguments = ["import", str(place / "a.xml"), "--name", "gifts", "--resources", str(place / "given"), *more]
    ran = CliRunner().invoke(saima, arguments)
    return ran.output if ran.exception is None else f"{ran.output}{ran.exception}"


def test_it_writes_an_algorithm_that_checks(place: Path) -> None:
    said = run(place)
    assert "1 feature, 1 table, 1 model" in said
    assert "note: models.gift: put the model at models/gift.pb" in said
    checked = CliRunner().invoke(saima, ["check", "gifts"])
    assert checked.exit_code == 0, checked.output
    assert "; not there: models/gift.pb" in checked.output
    assert "gifts exists" in run(place)


def test_an_error_has_file_line_and_column_and_nothing_is_written(place: Path) -> None:
    (place / "a.xml").write_text(FILE.replace("Bucket(", "Bucketize("))
    assert f"{place / 'a.xml'}:4:63: unknown extractor 'Bucketize' (did you mean 'Bucket'?)" in run(place)
    assert not (place / "algorithms" / "gifts").exists()
    ran = CliRunner().invoke(saima, ["import", str(place / "a.xml"), "--name", "Gifts"])
    assert "'Gifts' is not a name of an algorithm" in ran.output


def test_its_models_are_published_as_they_are(place: Path) -> None:
    from saima.learning.trainers.runtime import tensorflow

    v1 = tensorflow().compat.v1
    with v1.Graph().as_default() as graph:
        level = v1.placeholder("int64", (None, 1), name="level")
        v1.cast(v1.reduce_sum(level, axis=1), "float32", name="amount")
        (place / "given" / "models").mkdir()
        (place / "given" / "models" / "gift.pb").write_bytes(graph.as_graph_def().SerializeToString())
    said = run(place, "--publish")
    assert "note" not in said
    assert "as bundle 1; route it: saima deploy gifts 1" in said
    (row,) = open_registry(settings()).bundles("gifts")
    assert row.lineage == "imported"
    assert row.manifest["models"]["gift"]["facts"]["file"] == "models/gift.pb"
    routed = CliRunner().invoke(saima, ["deploy", "gifts", "1"])
    assert "gifts/imported routes 1" in routed.output

    assert CliRunner().invoke(saima, ["check", "gifts"]).exit_code == 0
    declared = place / "algorithms" / "gifts" / "algorithm.yaml"
    declared.write_text(declared.read_text().replace("shape: [1]", "shape: []"))
    checked = CliRunner().invoke(saima, ["check", "gifts"])
    assert checked.exit_code == 1
    wrong = "takes 'level' as int64 [any, 1], and the declaration fills int64 [any]"
    assert f"model 'gift' (gift.pb) {wrong}" in checked.output
    line = next(n for n, text in enumerate(declared.read_text().splitlines(), 1) if "gift.pb" in text)
    assert f"algorithms/gifts/algorithm.yaml:{line}:" in checked.output
