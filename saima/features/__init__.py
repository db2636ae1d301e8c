"""The feature language: one declaration, the same values in backfill, stream and serving."""

from saima.features.algorithm import Algorithm, json_schema, load
from saima.features.explain import explain
from saima.features.plan import Plan

__all__ = ["Algorithm", "Plan", "explain", "json_schema", "load"]
