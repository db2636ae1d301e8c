"""The grammar of `sources.<name>.record`: how the records of a source outside become its standard events."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Scalar = str | int | float | bool
Steps = tuple[str | int, ...]

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_PATH = re.compile(r"[^.\[\]]+(?:\[\d+\])*(?:\.[^.\[\]]+(?:\[\d+\])*)*")


def steps(path: str) -> Steps:
    """Steps of a path into a record.

    >>> steps("user.ids[0]")
    ('user', 'ids', 0)
    """
    return tuple(name or int(place) for name, place in _STEP.findall(path))


def follow(record: Any, path: Steps) -> Any:
    """The value at a path; None where it leads nowhere."""
    found = record
    for step in path:
        if isinstance(step, str):
            found = found.get(step) if isinstance(found, dict) else None
        else:
            found = found[step] if isinstance(found, list) and step < len(found) else None
        if found is None:
            return None
    return found


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError(f"'{text}' is no path: names joined by '.', each with [places] of a list behind it")
    return text


Path = Annotated[str, AfterValidator(_path)]
"""Names and [places] from the record's root: `user.ids[0]`."""


def _of_path(given: Any) -> Any:
    """A bare text is a path."""
    return {"path": given} if isinstance(given, str) else given


class Taken(BaseModel):
    """Where a field's value comes from: a path, by an enumeration if there is one, or a constant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path | None = Field(None, description="Names and [places] from the record's root: `user.ids[0]`.")
    constant: Scalar | None = Field(None, description="The same value in every event.")
    values: dict[str, Scalar] | None = Field(None, description="Value by the text of what the record holds.")
    default: Scalar | None = Field(None, description="Value for what the enumeration does not name; else refused.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.path is None) == (self.constant is None):
            raise ValueError("either a path or a constant")
        if self.constant is not None and self.values is not None:
            raise ValueError("a constant has no values to choose from")
        if self.default is not None and self.values is None:
            raise ValueError("a default stands for values that are not named: declare 'values'")
        return self


class Moment(BaseModel):
    """The event's time in a record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    unit: Literal["ms", "s", "us", "ns", "iso"] = "ms"
    zone: str | None = Field(None, description="Zone of ISO times that name none, as Europe/Helsinki.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.zone is not None and self.unit != "iso":
            raise ValueError("only ISO times have a zone")
        return self


class Delimited(BaseModel):
    """Records of text that a separator cuts into columns; an empty column is a missing value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    separator: str = Field(min_length=1, description="Between two columns: `|`, a tab, \\x1f.")
    columns: list[Annotated[str, AfterValidator(_path)]] = Field(min_length=1, description="Their names, in order.")

    @model_validator(mode="after")
    def _plain(self) -> Self:
        nested = [name for name in self.columns if len(steps(name)) > 1]
        if nested:
            raise ValueError(f"'{nested[0]}' is no plain name; a column has neither '.' nor [places]")
        doubled = [name for name in self.columns if self.columns.count(name) > 1]
        if doubled:
            raise ValueError(f"column '{doubled[0]}' stands twice")
        return self


class Record(BaseModel):
    """Records of JSON objects, or of delimited text. A field that `fields` does not name is taken from the record
    under its own name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    delimited: Delimited | None = Field(
        None, description="Absent: JSON. Of text, numbers, booleans and times are read as their types write them."
    )

    time: Annotated[Moment, BeforeValidator(_of_path)]
    id: list[Path] | Path | None = Field(
        None, description="Paths of the record's identity; absent: its bytes are, so equal records count once."
    )
    seq: Path | None = Field(None, description="Path of a whole number that breaks ties of time; absent: 0.")
    fields: dict[str, Annotated[Taken, BeforeValidator(_of_path)]] = {}
    when: dict[Path, Scalar] = Field({}, description="Values by path that tell this source's records from others.")
    ahead: str = Field("1d", description="How far an event's time may lie ahead of the wall clock.")
