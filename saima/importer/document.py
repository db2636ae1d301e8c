"""An algorithm's YAML, one line an entry, each line knowing what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from saima.importer.markup import Element


@dataclass
class Lines:
    """The text of a declaration and the element behind each of its lines."""

    lines: list[str] = field(default_factory=list)
    elements: dict[int, Element] = field(default_factory=dict)

    def say(self, text: str) -> None:
        """A line as it is."""
        self.lines.append(text)

    def put(self, name: str, value: Any, indent: str = "", element: Element | None = None) -> None:
        """One entry on one line."""
        self.lines.append(indent + _flow({name: value})[1:-1])
        if element is not None:
            self.elements[len(self.lines)] = element

    def section(self, name: str, entries: Mapping[str, Any], elements: Mapping[str, Element]) -> None:
        """A section with one line an entry; nothing where it is empty."""
        if entries:
            self.lines += ["", f"{name}:"]
            for key, value in entries.items():
                self.put(key, value, "  ", elements.get(key))

    @property
    def text(self) -> str:
        """The whole."""
        return "\n".join(self.lines) + "\n"


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=2**31, allow_unicode=True).strip()
