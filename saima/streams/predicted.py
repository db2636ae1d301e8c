"""The prediction of one part of a trace, as the join keeps it: whole until every row is out, a stub afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from saima.streams.schemes import JoinSpec, Row

Plan = Sequence[Sequence[Row]]
"""Rows by place of the item."""


@dataclass(slots=True)
class Predicted:
    """One prediction. `items` are the candidates that the journal kept ("" for a request that is its own one row);
    `made` counts the rows already emitted per item; `record` is the journal's JSON, empty once nothing can follow.
    """

    time: int
    attempt: int
    excluded: bool
    items: tuple[str, ...]
    record: bytes
    made: dict[str, int] = field(default_factory=dict)
    closed: bool = False

    def due(self, spec: JoinSpec, watermark: int, plan: Plan) -> list[tuple[int, str, Row]]:
        """Rows of the plan not yet emitted whose moment is below the watermark, as (place in items, item, row)."""
        found = []
        for index, of_item in enumerate(plan):
            if of_item:
                item = self.items[index]
                for row in of_item[self.made.get(item, 0) :]:
                    if row.moment < watermark or spec.immediate:
                        found.append((index, item, row))
        return found

    def next_moment(self, spec: JoinSpec, plan: Plan) -> int:
        """The watermark must pass this time for anything to happen to an open prediction."""
        end = self.time + spec.attribution
        for item, of_item in zip(self.items, plan, strict=False):
            for row in of_item[self.made.get(item, 0) :]:
                end = min(end, row.moment)
        return end
