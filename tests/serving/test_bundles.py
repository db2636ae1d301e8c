"""A bundle built as a Bento, opened, checked, spoilt in every way; and served alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

from saima.errors import BundleError, RequestError
from saima.features.algorithm import Algorithm, load
from saima.host.bundle import Bundle, first_difference
from saima.host.manifest import Manifest, read_manifest
from saima.learning.increments import DataState
from saima.learning.trainers import spec_of, trainer
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel, build
from serving.retention import prune

DECLARATION = """
algorithm: small
sources:
  outcome: {key: trace, fields: {trace: string, value: float64}}
label: {from: outcome, join: [trace], value: value, attribution: 1h}
request: {fields: {x: float32, y: float32}}
features:
  sum: {value: "x + y", dtype: float32, default: 0.0}
  big: {value: "1 if x > 3 else 0", dtype: int64, default: 0}
models:
  first: {kind: xgboost, inputs: [sum, big], output: value}
  second: {kind: xgboost, inputs: [big], output: value}
parameters:
  share: {dtype: float32, default: 0.0}
fuse:
  value: "first.value if parameters.share == 0
    else (1 - parameters.share) * first.value + parameters.share * second.value"
lineages:
  trees: {train: [first, second]}
"""
OWN = "def preprocess(body):\n    return {**body, 'seen': __name__}\n"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def settings(place: Path) -> Settings:
    return Settings(home=place / "home", algorithms=place / "algorithms")


@pytest.fixture(scope="session")
def algorithm(settings: Settings) -> Algorithm:
    folder = settings.algorithms / "small"
    folder.mkdir(parents=True)
    (folder / "algorithm.yaml").write_text(DECLARATION)
    (folder / "algorithm.py").write_text(OWN)
    return load(folder)


@pytest.fixture(scope="session")
def models(place: Path, algorithm: Algorithm) -> dict[str, TrainedModel]:
    rows = pl.DataFrame({"sum": [float(n) for n in range(40)], "big": [n % 2 for n in range(40)]})
    rows = rows.with_columns(label=pl.col("sum") * 2 + pl.col("big"))
    trained = {}
    for name in ("first", "second"):
        spec = spec_of(algorithm.declaration, name, settings={"rounds": 5, "min_child_weight": 1.0})
        trainer("xgboost").fit(rows, spec).save(place / name)
        trained[name] = TrainedModel("xgboost", place / name, {"seed": 0})
    return trained


def golden(algorithm: Algorithm) -> pl.DataFrame:
    schema = algorithm.plan.input_schema()
    values = {"request.x": [1.0, 5.0, None], "request.y": [2.0, None, float("nan")]}
    return pl.DataFrame({name: values.get(name, [None] * 3) for name in schema}, schema=schema, strict=False)


def built(algorithm: Algorithm, models: dict[str, TrainedModel], settings: Settings, trained_at: int = 77) -> BundleRow:
    return build(
        algorithm,
        "trees",
        models,
        DataState({0: 12}, 34, 56),
        open_registry(settings),
        trained_at=trained_at,
        golden=golden(algorithm),
        parameters=[{}, {"share": 0.5}],
        settings=settings,
    )


@pytest.fixture(scope="session")
def row(algorithm: Algorithm, models: dict[str, TrainedModel], settings: Settings) -> BundleRow:
    return built(algorithm, models, settings)


@pytest.fixture
def copy(row: BundleRow, tmp_path: Path) -> Path:
    """The bundle in a store of its own, to be spoilt; the path of the Bento."""
    shutil.copytree(Path(row.path).parents[2], tmp_path / "bentoml", symlinks=True)
    return tmp_path / "bentoml" / Path(row.path).relative_to(Path(row.path).parents[2])


def test_a_bundle_says_what_it_is(row: BundleRow, algorithm: Algorithm) -> None:
    manifest = read_manifest(Path(row.path) / "src")
    assert row.digest == manifest.digest
    assert row.tag == f"small:trees-{row.digest[:12]}"
    assert Path(row.path).name == f"trees-{row.digest[:12]}"
    assert (manifest.data_position, manifest.label_epoch, manifest.trained_at) == ({"0": 12}, 34, 77)
    assert (manifest.declaration_digest, manifest.plan_hash) == (algorithm.digest, algorithm.plan.hash)
    assert {"service.py", "saima/host/bundle.py", "serving/service.py", "algorithms/small/algorithm.yaml"} <= set(
        manifest.files
    )
    assert [(g.rows, g.parameters) for g in manifest.golden] == [
        (1, {}),
        (3, {}),
        (1, {"share": 0.5}),
        (3, {"share": 0.5}),
    ]


def test_the_same_bundle_again_keeps_its_publication(
    row: BundleRow, algorithm: Algorithm, models: dict[str, TrainedModel], settings: Settings
) -> None:
    assert built(algorithm, models, settings) == row
    other = built(algorithm, models, settings, trained_at=78)
    assert other.publication > row.publication
    assert other.digest != row.digest


def test_scores_are_fused_under_parameters(row: BundleRow) -> None:
    bundle = Bundle.open(row.path, digest=row.digest)
    features = pl.DataFrame({"sum": [3.0, 30.0], "big": [0, 1]}, schema={"sum": pl.Float32, "big": pl.Int64})
    alone = bundle.score(features)
    assert list(alone.outputs) == ["first.value"]
    np.testing.assert_array_equal(alone.score, alone.outputs["first.value"])
    both = bundle.score(features, {"share": 0.25})
    expected = 0.75 * both.outputs["first.value"] + 0.25 * both.outputs["second.value"]
    np.testing.assert_allclose(both.score, expected, rtol=1e-12)
    assert both.score.dtype == np.float64
    with pytest.raises(RequestError, match=r"parameters\.shar: unknown parameter \(did you mean 'share'\?\)"):
        bundle.score(features, {"shar": 1.0})


def test_golden_answers_hold_and_closing_forgets(row: BundleRow) -> None:
    bundle = Bundle.open(row.path)
    bundle.check_golden()
    assert bundle.preprocess({"a": 1}) == {"a": 1, "seen": f"saima_bundle_{row.digest[:16]}_algorithm"}
    assert bundle.postprocess is None
    bundle.close()
    assert f"saima_bundle_{row.digest[:16]}_algorithm" not in sys.modules
    with pytest.raises(BundleError, match="has been closed"):
        bundle.score(pl.DataFrame())


def test_one_process_holds_a_model_once(row: BundleRow, copy: Path) -> None:
    one, other = Bundle.open(row.path), Bundle.open(copy)
    assert one.models["first"] is other.models["first"]


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def model_file(bento: Path) -> Path:
    return next((bento.parents[2] / "models").glob("small-first/*/model.ubj"))


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda bento: spoil(bento / "src/saima/host/bundle.py"), r"saima/host/bundle\.py: its digest differs"),
        (lambda bento: (bento / "src/algorithms/small/algorithm.py").unlink(), r"algorithm\.py: missing from bundle"),
        (lambda bento: (bento / "src/algorithms/small/operators.py").touch(), r"operators\.py: not in the manifest"),
        (lambda bento: spoil(bento / "src/golden/features.arrow"), r"features\.arrow: its digest differs"),
        (lambda bento: spoil(model_file(bento)), "model 'first' has been changed"),
        (lambda bento: shutil.rmtree(model_file(bento).parent), "model small-first:.* is missing; looked in"),
        (lambda bento: (bento / "src/manifest.json").unlink(), r"no manifest\.json in it or in its src"),
        (lambda bento: (bento / "src/manifest.json").write_text('{"format": 1'), r"manifest\.json: document: "),
        (lambda bento: changed(bento, trained_at=1), "its digest does not fit its contents"),
        (lambda bento: changed(bento, trained_at="then"), r"manifest\.json: trained_at: "),
    ],
)
def test_a_spoilt_bundle_is_refused_before_anything_is_loaded(
    copy: Path, spoiled: Callable[[Path], object], words: str
) -> None:
    spoiled(copy)
    with pytest.raises(BundleError, match=words):
        Bundle.open(copy)


def changed(bento: Path, **values: object) -> None:
    path = bento / "src/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_another_digest_than_asked_for_is_refused(row: BundleRow) -> None:
    with pytest.raises(BundleError, match=f"is bundle {row.digest[:12]}, and aaaa was asked for"):
        Bundle.open(row.path, digest="aaaa")


def test_other_golden_scores_never_pass(copy: Path) -> None:
    manifest = read_manifest(copy / "src")
    first = manifest.golden[0]
    off = [first.model_copy(update={"scores": [s * 1.001 for s in first.scores]}), *manifest.golden[1:]]
    sealed = manifest.model_copy(update={"golden": off}).sealed()
    (copy / "src/manifest.json").write_text(sealed.model_dump_json())
    with pytest.raises(BundleError, match="golden request 0 is answered"):
        Bundle.open(copy).check_golden()


def test_features_are_compared_to_the_bit() -> None:
    one = pl.DataFrame({"a": [1.0, None, float("nan")]})
    assert first_difference(one, one) == ""
    other = pl.DataFrame({"a": [1.0, None, np.nextafter(2.0, 3.0)]})
    assert first_difference(one, other).startswith("feature 'a' of row 2 is nan")
    assert "is Float64 and was Float32" in first_difference(one, one.cast(pl.Float32))
    assert "have shape" in first_difference(one, one.head(1))


def test_models_that_do_not_fit_are_refused(
    algorithm: Algorithm, models: dict[str, TrainedModel], settings: Settings
) -> None:
    with pytest.raises(BundleError, match="declares no model 'third'"):
        built(algorithm, {**models, "third": models["first"]}, settings)
    with pytest.raises(BundleError, match="model 'first' is needed"):
        built(algorithm, {"second": models["second"]}, settings)
    with pytest.raises(BundleError, match="model 'second' is needed"):
        built(algorithm, {"first": models["first"]}, settings)


def test_pruning_keeps_the_models_of_what_stays(row: BundleRow, copy: Path, settings: Settings, tmp_path: Path) -> None:
    stray = copy.parents[2] / "models" / "small-first" / "0123456789abcdef"
    stray.mkdir()
    registry = open_registry(Settings(home=tmp_path))
    registry.publish("small", "trees", row.digest, row.tag, str(copy), {})
    prune(registry, "small", now=2**60, settings=Settings(home=tmp_path))
    assert not stray.exists()
    Bundle.open(copy).check_golden()


def test_a_manifest_survives_json(row: BundleRow) -> None:
    manifest = read_manifest(Path(row.path) / "src")
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert row.manifest["data_position"] == {"0": 12}


@pytest.mark.e2e
def test_a_bento_serves_alone(row: BundleRow, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAIMA_", "BENTOML_"))}
    environment |= {"BENTOML_HOME": str(Path(row.path).parents[2]), "BENTOML_DO_NOT_TRACK": "True"}
    command = [
        str(Path(sys.executable).parent / "bentoml"),
        "serve",
        row.tag,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            await_ready(client, process, tmp_path / "serve.log")
            body = {"algorithm": "small", "trace": "one", "request": {"x": 1.0, "y": 2.0}}
            answer = client.post("/v1/predict", json=body).raise_for_status().json()
        expected = Bundle.open(row.path).score(pl.DataFrame({"sum": [3.0], "big": [0]})).score
        assert answer["scores"] == pytest.approx(expected.tolist(), rel=1e-6)
        assert (answer["trace"], answer["lineage"]) == ("one", "trees")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def await_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the service is not ready:\n{log.read_text()}")
