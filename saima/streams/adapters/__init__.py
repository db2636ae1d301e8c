"""Adapters: a source's records become standard events, or dead letters with their bytes and the reason."""

from saima.streams.adapters.adapter import Adapted, Adapter
from saima.streams.adapters.connection import Connection
from saima.streams.adapters.limits import AHEAD, MAX_KEY, MAX_RECORD, implausible
from saima.streams.adapters.reading import Reader
from saima.streams.adapters.refusals import REASONS, Refusal, Refused, letters, reason_of

__all__ = [
    "AHEAD",
    "MAX_KEY",
    "MAX_RECORD",
    "REASONS",
    "Adapted",
    "Adapter",
    "Connection",
    "Reader",
    "Refusal",
    "Refused",
    "implausible",
    "letters",
    "reason_of",
]
