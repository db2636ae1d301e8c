"""Linking: sessions as trees, out of the events of a key."""

from saima.streams.linking.linker import Linker
from saima.streams.linking.nodes import SCHEMA, Node, to_frame
from saima.streams.linking.spec import LEVELS, Entry, Linking, parse

__all__ = ["LEVELS", "SCHEMA", "Entry", "Linker", "Linking", "Node", "parse", "to_frame"]
