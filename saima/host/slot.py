"""A slot holds one version of one lineage; which one to load or unload next is a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["new", "loading", "ready", "draining", "gone", "error"]
Mode = Literal["availability", "resource"]


@dataclass(frozen=True, slots=True)
class Version:
    """A version as the policy sees it: publication number, state, whether the deployment wants it."""

    version: int
    state: State
    wanted: bool


@dataclass(frozen=True, slots=True)
class Action:
    """What to do now; `version` is None for `none`."""

    action: Literal["load", "unload", "none"]
    version: int | None = None


NOTHING = Action("none")


def next_action(versions: Sequence[Version], mode: Mode = "availability") -> Action:
    """The one version to load or unload now. Order of the rows never matters; versions compare as integers.

    availability: something that answers is never given up before something wanted answers, so for a while two are held.
    resource: what is unwanted leaves memory before anything new is loaded, so for a while nothing may answer.
    A wanted version in error, draining or gone is never loaded again; a fresh attempt comes in as a new row.
    """
    unwanted = sorted(v.version for v in versions if v.state == "ready" and not v.wanted)
    fresh = [v.version for v in versions if v.state == "new" and v.wanted]
    if mode == "availability":
        answering = any(v.state == "ready" and v.wanted for v in versions)
        asked = any(v.wanted for v in versions)
        if unwanted and (answering or not asked or len(unwanted) > 1):
            return Action("unload", unwanted[0])
    elif unwanted:
        return Action("unload", unwanted[0])
    elif any(v.state in ("loading", "draining") and not v.wanted for v in versions):
        return NOTHING
    return Action("load", max(fresh)) if fresh else NOTHING
