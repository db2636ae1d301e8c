"""The examples in the docstrings of the feature language run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import saima.features

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(saima.features.__path__, "saima.features.")
    if not found.ispkg and not found.name.startswith("saima.features.operators.")  # these run with the operators
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    report = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert report.failed == 0
