"""The Launchpad's form: the trainers' settings, the declaration's values as defaults, every field described."""

from __future__ import annotations

import pytest

from assets.models.config import config_of
from saima.errors import DeclarationError
from saima.features.declaration import Model
from saima.learning.trainers import lightgbm, tensorflow, xgboost

OWN = {"mode", "full_after", "finish", "hold_out", "seed", "replay"}


@pytest.mark.parametrize(
    ("kind", "defaults"),
    [("xgboost", xgboost.DEFAULTS), ("lightgbm", lightgbm.DEFAULTS), ("tensorflow", tensorflow.DEFAULTS)],
)
def test_the_form_is_the_trainers_settings(kind: str, defaults: dict[str, object]) -> None:
    form = config_of("m", Model(kind=kind, inputs=["x"], output="y"))  # type: ignore[arg-type]
    assert form().settings() == defaults
    assert set(form.model_fields) == set(defaults) | OWN
    assert all(field.description for field in form.model_fields.values())


def test_declared_settings_are_defaults() -> None:
    form = config_of("m", Model(kind="xgboost", inputs=["x"], output="y", settings={"depth": 3}))
    assert form().settings()["depth"] == 3
    assert form.model_fields["depth"].description


def test_a_python_models_settings_are_the_forms() -> None:
    declared = Model(kind="python", file="m.py", inputs=["x"], output="y", settings={"rows": 2.5, "widths": [1, 2]})
    form = config_of("m", declared)
    assert form().settings() == {"rows": 2.5, "widths": [1, 2]}
    assert form.model_fields["rows"].description == "As models.m.settings says."


def test_a_model_made_elsewhere_has_no_settings() -> None:
    form = config_of("m", Model(kind="tensorflow", file="m.pb", inputs=["x"], output="y"))
    assert form().settings() == {}
    assert set(form.model_fields) == OWN


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(DeclarationError, match="dept is no setting of kind xgboost"):
        config_of("m", Model(kind="xgboost", inputs=["x"], output="y", settings={"dept": 3}))
    with pytest.raises(DeclarationError, match="seed is no setting of kind python"):
        config_of("m", Model(kind="python", file="m.py", inputs=["x"], output="y", settings={"seed": 3}))
