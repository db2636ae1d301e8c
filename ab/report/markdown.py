"""Values of a report for an orchestrator's UI, without anything heavy."""

from __future__ import annotations


class Markdown(str):
    """Text to be shown as Markdown."""

    __slots__ = ()


Metadata = dict[str, str | int | float | bool | Markdown]
"""Values by label; a label is words for a person."""
