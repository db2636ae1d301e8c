"""Pattern matching: rules in JSON, with the meaning of Flink CEP, over standard events."""

from saima.streams.matching.errors import Problem, RuleError
from saima.streams.matching.matcher import Matcher
from saima.streams.matching.matches import SCHEMA, Match, by_step, from_frame, to_frame
from saima.streams.matching.rules import RuleSet, read_rule

__all__ = [
    "SCHEMA",
    "Match",
    "Matcher",
    "Problem",
    "RuleError",
    "RuleSet",
    "by_step",
    "from_frame",
    "read_rule",
    "to_frame",
]
