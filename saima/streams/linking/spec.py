"""The declaration of a linker: which event enters or leaves which level, and what it is called there."""

from __future__ import annotations

import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saima.errors import DeclarationError

Level = Literal["session", "app", "scene", "page", "behaviour"]

LEVELS: tuple[Level, ...] = ("session", "app", "scene", "page", "behaviour")
"""From the root to the leaves; a node's parent is exactly one level up."""

SESSION, APP, SCENE, PAGE, BEHAVIOUR = range(5)


class Entry(BaseModel):
    """What events of one type do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    does: Literal["enter", "leave"] = "enter"
    name: str | None = Field(None, description="Field that names the node; absent: the event's type names it.")
    within: dict[Level, str] = Field(
        {},
        description="Fields that name the levels above; where one differs from the open node, that level is missing.",
    )
    back: str | None = Field(None, description="Bool field: the page was gone back to. Absent: inferred.")
    causes: bool = Field(True, description="Whether a behaviour of this type can cause a page's jump.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        place = LEVELS.index(self.level)
        if self.level == "behaviour" and self.does == "leave":
            raise ValueError("a behaviour is a moment; it cannot be left")
        if self.back is not None and (self.level != "page" or self.does != "enter"):
            raise ValueError("only entering a page can be going back: drop 'back'")
        if not self.causes and self.level != "behaviour":
            raise ValueError("only behaviours cause jumps: drop 'causes'")
        deeper = [level for level in self.within if LEVELS.index(level) >= place]
        if "session" in self.within:
            raise ValueError("a session has no name: drop it from 'within'")
        if deeper or (self.within and self.does == "leave"):
            raise ValueError(f"'within' names levels above the one that is entered, not {', '.join(deeper) or 'here'}")
        return self


class Linking(BaseModel):
    """A linker's whole declaration.

    Where no entry enters the level `session`, a session begins with the first event that can be linked.
    Lenient: missing levels are made up and flagged; strict: an event that lacks one is an orphan.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gap: int = Field(gt=0, description="A session ends when more than so many ms pass without an event of its key.")
    lenient: bool = False
    entries: dict[str, Entry] = Field(min_length=1, description="By event type.")

    @property
    def declared_sessions(self) -> bool:
        """Whether events say when a session begins."""
        return any(entry.level == "session" and entry.does == "enter" for entry in self.entries.values())

    @property
    def fields(self) -> list[str]:
        """Payload fields that the linker reads."""
        names: dict[str, None] = {}
        for entry in self.entries.values():
            for name in (entry.name, entry.back, *entry.within.values()):
                if name is not None:
                    names[name] = None
        return list(names)

    @property
    def digest(self) -> str:
        """Content hash: state of one declaration is not continued under another."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def parse(declared: object, where: str) -> Linking:
    """The declaration of data as YAML or JSON gives it. DeclarationError names every mistake and its path."""
    try:
        return Linking.model_validate(declared)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'the declaration'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        ]
        raise DeclarationError(f"{where}: {'; '.join(faults)}") from error
