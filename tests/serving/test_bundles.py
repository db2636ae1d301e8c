"""A bundle built as a Bento: what it says of itself, how it scores, what is refused when it is built."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from saima.errors import BundleError, RequestError
from saima.features.algorithm import Algorithm
from saima.host.bundle import Bundle, first_difference
from saima.host.manifest import Manifest, read_manifest
from saima.host.recorded import WarmChannel
from saima.settings import Settings
from saima.stores import open_registry
from saima.stores.interfaces import BundleRow
from serving.bundles import TrainedModel
from serving.retention import prune


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
    row: BundleRow, built: Callable[..., BundleRow], models: dict[str, TrainedModel]
) -> None:
    assert built(models) == row
    other = built(models, trained_at=78)
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
    channel = WarmChannel(bundle.algorithm.declaration, 0)
    assert bundle.preprocess is not None
    seen = bundle.preprocess({"a": 1}, channel)
    assert seen["seen"].startswith(f"saima_bundle_{row.digest[:16]}_")
    assert seen["seen"] in sys.modules
    assert bundle.postprocess is None
    bundle.close()
    assert seen["seen"] not in sys.modules
    with pytest.raises(BundleError, match="has been closed"):
        bundle.score(pl.DataFrame())


def test_one_process_holds_a_model_once(row: BundleRow, copy: Path) -> None:
    one, other = Bundle.open(row.path), Bundle.open(copy)
    assert one.models["first"] is other.models["first"]


def test_features_are_compared_to_the_bit() -> None:
    one = pl.DataFrame({"a": [1.0, None, float("nan")]})
    assert first_difference(one, one) == ""
    other = pl.DataFrame({"a": [1.0, None, np.nextafter(2.0, 3.0)]})
    assert first_difference(one, other).startswith("feature 'a' of row 2 is nan")
    assert "is Float64 and was Float32" in first_difference(one, one.cast(pl.Float32))
    assert "have shape" in first_difference(one, one.head(1))


def test_models_that_do_not_fit_are_refused(built: Callable[..., BundleRow], models: dict[str, TrainedModel]) -> None:
    with pytest.raises(BundleError, match="declares no model 'third'"):
        built({**models, "third": models["first"]})
    with pytest.raises(BundleError, match="model 'first' is needed"):
        built({"second": models["second"]})
    with pytest.raises(BundleError, match="model 'second' is needed"):
        built({"first": models["first"]})


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
