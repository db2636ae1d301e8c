"""Experiments as files: what is accepted, and that every mistake is shown where it stands, with the way out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from saima.errors import DeclarationError
from saima.features import load
from saima.routing.checks import checked_experiments
from saima.routing.declared import Experiments
from saima.settings import ROOT

GOOD = """\
experiment: price
hypothesis: Fusing helps.
layer: model
unit: carrier
buckets: [0, 4000]
coverage: 5
ramp:
  - {coverage: 20, after: 2d}
  - {coverage: 100, after: 7d}
minimum_duration: 14d
sticky: true
eligibility: "distance > 500"
arms:
  champion: {lineage: xgb, weight: 50}
  challenger: {lineage: fusion, weight: 50, parameters: {net_weight: 0.4}}
metrics:
  error: {value: "abs(label - score)", direction: lower, role: primary, margin: 0.5}
  late: {value: "label > 15", denominator: "distance_miles", kind: ratio}
analysis: {covariates: {error: before, late: "departure_hour * 2"}, winsorise: {error: 0.99}, segments: [carrier_id]}
"""

OTHER = (
    "experiment: other\nlayer: model\nunit: carrier\nbuckets: [4000, 9000]\narms: {a: {lineage: xgb, weight: 100}}\n"
)

LAYOUT = """\
unit: carrier
quarantine: 1d
domains:
  held: {buckets: [0, 500], holdout: true}
  rest: {buckets: [500, 10000]}
layers:
  model: {domain: rest}
  phone: {joint: true, unit: carrier}
"""

Read = Callable[..., Experiments]


@pytest.fixture(scope="module")
def algorithm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("algorithms")
    for name in ("flight_delay", "shared"):
        shutil.copytree(ROOT / "algorithms" / name, root / name)
    return root / "flight_delay"


@pytest.fixture
def read(algorithm: Path) -> Read:
    def reading(**files: str) -> Experiments:
        folder = algorithm / "experiments"
        shutil.rmtree(folder)
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        return checked_experiments(load(algorithm))

    return reading


def test_a_whole_declaration_is_accepted(read: Read) -> None:
    found = read(a=GOOD, b=OTHER, layout=LAYOUT)
    assert [each.experiment.experiment for each in found.experiments] == ["price", "other"]
    first = found.experiments[0].experiment
    assert [phase.due(1000) for phase in first.ramp] == [1000 + 2 * 86_400_000, 1000 + 7 * 86_400_000]
    assert found.layout.domains["held"].holdout
    assert first.control == "champion"


def test_the_declared_experiments_of_the_project_fit_their_algorithms() -> None:
    for name in ("flight_delay", "fashion_ranking"):
        assert [each.experiment.experiment for each in checked_experiments(load(name)).experiments] == ["fusion"]


@pytest.mark.parametrize(
    ("find", "put", "line", "words"),
    [
        ("layer: model", "lair: model", 3, "unknown field 'lair' .did you mean 'layer'"),
        ("weight: 50}\n  ch", "weight: 40}\n  ch", 14, "weights of the arms sum to 90, not to 100"),
        ("buckets: [0, 4000]", "buckets: [4000, 0]", 5, "not a range"),
        ("unit: carrier", "unit: carier", 4, "unknown unit 'carier' .did you mean 'carrier'"),
        ("unit: carrier", "unit: scheduled_departure", 4, "is timestamp; a unit is text or a whole number"),
        ("lineage: fusion", "lineage: fussion", 15, "unknown lineage 'fussion' .did you mean 'fusion'"),
        ("net_weight: 0.4", "net_wait: 0.4", 15, "unknown parameter 'net_wait' .did you mean 'net_weight'"),
        ("net_weight: 0.4", "net_weight: high", 15, "the parameter is float32, not 'high'"),
        ("distance > 500", "distanc > 500", 12, "unknown name 'distanc'|did you mean 'distance'"),
        ("distance > 500", "distance + 500", 12, "eligibility is true or false"),
        ("abs(label - score)", "abs(lable - score)", 17, "did you mean 'label'"),
        ("abs(label - score)", "concat(unit, unit)", 17, "number|unknown operator"),
        ("kind: ratio", "kind: mean", 18, "a ratio, and only a ratio, has a denominator"),
        ("margin: 0.5", "margin: -0.5", 17, "a margin is what may be lost"),
        ("coverage: 20, after: 2d", "coverage: 3, after: 2d", 8, "a ramp only grows"),
        ("after: 7d", "after: 1d", 9, "begins after the one before"),
        ("after: 7d", "after: soon", 9, "'soon' is not a duration"),
        ("{coverage: 100, after: 7d}", "{coverage: 100}", 9, "`after` a duration or `at` a time"),
        ("minimum_duration: 14d", "minimum_duration: long", 10, "not a duration"),
        ("segments: [carrier_id]", "segments: [carier_id]", 19, "did you mean 'carrier_id'"),
        ("winsorise: {error: 0.99}", "winsorise: {eror: 0.99}", 19, "unknown metric 'eror'"),
        ("winsorise: {error: 0.99}", "winsorise: {error: 99}", 19, "not a share"),
        ("departure_hour * 2", "departure_our * 2", 19, "did you mean 'departure_hour'"),
        ("coverage: 5", "coverage: 105", 6, "less than or equal to 100"),
        ("experiment: price", "experiment: ''", 1, "may not be empty"),
        ("layer: model", 'layer: "a\\x1fb"', 3, "separates"),
        ("arms:", "arms: {", 15, "not YAML"),
    ],
)
def test_a_mistake_is_shown_where_it_stands(read: Read, find: str, put: str, line: int, words: str) -> None:
    assert GOOD.count(find) == 1
    with pytest.raises(DeclarationError, match=words) as caught:
        read(a=GOOD.replace(find, put), layout=LAYOUT)
    place = caught.value.place
    assert place is not None
    assert (place.file, place.line) == ("algorithms/flight_delay/experiments/a.yaml", line)


@pytest.mark.parametrize(
    ("find", "put", "line", "words"),
    [
        ("[4000, 9000]", "[3000, 9000]", 4, r"overlap those of experiment 'price', \[0, 4000\], in \[3000, 4000\]"),
        ("experiment: other", "experiment: price", 1, "declared twice"),
        ("unit: carrier", "unit: origin", 3, "split by one unit"),
        ("layer: model", "layer: phone\nunit: origin", 3, "joint layer 'phone' splits by 'carrier'"),
        ("layer: model", "layer: second", 5, "both choose the lineage"),
        (
            "layer: model\nunit: carrier\nbuckets: [4000, 9000]\narms: {a: {lineage: xgb,",
            "layer: second\narms: {a: {parameters: {net_weight: 1.0},",
            3,
            "the parameter 'net_weight' belongs to the layer 'model'",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(read: Read, find: str, put: str, line: int, words: str) -> None:
    text = OTHER.replace(find, put)
    if "unit: origin" in put and "unit: carrier" in text:
        text = text.replace("unit: carrier\n", "")
    with pytest.raises(DeclarationError, match=words) as caught:
        read(a=GOOD, b=text, layout=LAYOUT)
    place = caught.value.place
    assert place is not None
    assert (Path(place.file).name, place.line) == ("b.yaml", line)


def test_layers_of_domains_that_do_not_meet_share_what_they_like(read: Read) -> None:
    layout = LAYOUT.replace("[500, 10000]}", "[500, 5000]}\n  more: {buckets: [5000, 10000]}").replace(
        "layers:\n", "layers:\n  second: {domain: more}\n"
    )
    assert len(read(a=GOOD, b=OTHER.replace("layer: model", "layer: second"), layout=layout).experiments) == 2


def test_the_launch_layer_may_own_what_another_owns(read: Read) -> None:
    launched = "experiment: l\nlayer: launch\narms: {a: {weight: 100, parameters: {net_weight: 1.0}}}\n"
    layout = LAYOUT + "  launch: {launch: true}\n"
    assert len(read(a=GOOD, b=launched, layout=layout).experiments) == 2


@pytest.mark.parametrize(
    ("find", "put", "line", "words"),
    [
        ("[500, 10000]", "[400, 10000]", 5, "overlaps domain 'held'"),
        ("domain: rest", "domain: best", 7, "unknown domain 'best'"),
        ("domain: rest", "domain: held", 7, "is a holdout"),
        ("{joint: true, unit: carrier}", "{joint: true}", 8, "names the one unit"),
        ("quarantine: 1d", "quarantine: 1x", 2, "not a duration"),
        ("layers:", "guardrails:\n  drift: 0.1\n  score_range: [9, 1]\nlayers:", 8, "is no range"),
        ("layers:", "guardrails:\n  errors: 0.1\n  missing: 5\nlayers:", 8, "less than 1"),
        ("layers:", "guardrails:\n  calibration: 5\nlayers:", 7, "take a larger scale"),
        ("layers:", "guardrails:\n  rejects: 0.1\nlayers:", 7, "rejects"),
    ],
)
def test_a_wrong_layout_is_shown_where_it_stands(read: Read, find: str, put: str, line: int, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as caught:
        read(a=GOOD, layout=LAYOUT.replace(find, put))
    place = caught.value.place
    assert place is not None
    assert (Path(place.file).name, place.line) == ("layout.yaml", line)
