"""Candidates in sub-batches, and their answers as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def split(items: Sequence[Mapping[str, Any]], most: int) -> list[list[Mapping[str, Any]]]:
    """Items in runs of nearly equal length, `most` at most, in order.

    >>> [[item["n"] for item in part] for part in split([{"n": n} for n in range(5)], 2)]
    [[0, 1], [2, 3], [4]]
    """
    count = max(1, math.ceil(len(items) / most))
    size, larger = divmod(len(items), count)
    parts, at = [], 0
    for index in range(count):
        end = at + size + (index < larger)
        parts.append(list(items[at:end]))
        at = end
    return parts


def agree(answers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one version and one arm gave all of them, so that their scores may stand side by side."""
    return len({(a["version"], a["lineage"], a["arm"]) for a in answers}) <= 1


def merge(items: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answer that one request would have got: in given order, or the best `top_k` of all, ties in given order."""
    first = max(answers, key=lambda answer: answer["epoch"])
    merged: dict[str, Any] = {**first, "attempt": max(answer["attempt"] for answer in answers)}
    merged["degraded"] = list(dict.fromkeys(reason for answer in answers for reason in answer["degraded"]))
    scored = [pair for answer in answers for pair in zip(answer["items"], answer["scores"], strict=True)]
    if first.get("top_k") is not None:
        places = {item["item_id"]: place for place, item in reversed(list(enumerate(items)))}
        scored.sort(key=lambda pair: (-math.inf if pair[1] is None else pair[1], -places[pair[0]]), reverse=True)
        scored = scored[: first["top_k"]]
    merged["items"] = [item for item, _ in scored]
    merged["scores"] = [score for _, score in scored]
    return merged
