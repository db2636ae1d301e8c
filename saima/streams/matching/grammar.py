"""The JSON grammar of rules, as models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from saima.errors import suggest
from saima.streams.matching.errors import Problems

After = Literal["next", "followed_by", "followed_by_any", "not_next", "not_followed_by"]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Positive = Annotated[int, Field(gt=0, lt=1 << 53)]
Count = Annotated[int, Field(ge=0, le=1000)]
Times = Positive | tuple[Count, Count | None]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Step(_Model):
    """One step: which events it accepts, how it follows the step before, how often."""

    name: Text
    after: After | None = Field(None, description="contiguity to the step before; absent on the first")
    where: Any = Field(None, description="condition in JSON, or an expression of the feature language")
    times: Times | None = Field(None, description="n, [min, max] or [min, null]")
    inner: Literal["strict", "relaxed", "any"] | None = Field(None, description="contiguity between repetitions")
    optional: bool = False
    greedy: bool = False
    until: Any = Field(None, description="condition that ends a loop")
    gap_ms: Positive | tuple[Annotated[int, Field(ge=0)], Positive | None] | None = Field(
        None, description="time since the previous accepted event: below n, or [at least, below]"
    )


class Group(_Model):
    """Steps that follow and repeat together."""

    group: Annotated[list[Element], Field(min_length=1)]
    name: Text | None = None
    after: After | None = None
    times: Times | None = None
    inner: Literal["strict", "relaxed", "any"] | None = None
    optional: bool = False
    until: Any = None


def _kind(value: Any) -> str:
    return "group" if isinstance(value, Group) or (isinstance(value, dict) and "group" in value) else "step"


Element = Annotated[
    Annotated[Step, Tag("step")] | Annotated[Group, Tag("group")],
    Discriminator(_kind),
]


class Skip(_Model):
    """What a match does to the partial matches that overlap it."""

    to: Literal["none", "next", "past_last", "first", "last"] = "none"
    step: Text | None = None


class Limits(_Model):
    """Bounds of a rule: partial matches a key, events a loop accepts, and which partial match gives way."""

    runs: Positive = 1000
    loop: Positive = 1000
    exceeded: Literal["drop_oldest", "drop_newest"] = "drop_oldest"


class Emit(_Model):
    """What a match carries: named terms over the accepted events; `timeouts` reports partial matches that expire."""

    fields: dict[Text, Any] = Field(default_factory=dict)
    timeouts: bool = False


class Rule(_Model):
    """A rule.

    key: fields whose values partition the events (absent: the event's own key). on: the event types that the rule
    sees; others do not exist for it, also for `next`. within_ms: exclusive, from the first accepted event.
    """

    id: Text
    version: Positive = 1
    key: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    pattern: Annotated[list[Element], Field(min_length=1, max_length=100)]
    within_ms: Positive | None = None
    skip: Skip = Skip()
    on: Annotated[list[Text], Field(min_length=1)] | None = None
    emit: Emit = Emit()
    limits: Limits = Limits()
    about: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Key fields; empty for the event's own key."""
        if self.key is None:
            return ()
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)


Group.model_rebuild()

_NAMES = {
    "": list(Rule.model_fields),
    "step": list(Step.model_fields),
    "group": list(Group.model_fields),
    "skip": list(Skip.model_fields),
    "limits": list(Limits.model_fields),
    "emit": list(Emit.model_fields),
}


def parse_rule(document: Any, problems: Problems) -> Rule | None:
    """The rule of a JSON document; None and its mistakes in `problems` if its shape is wrong."""
    if not isinstance(document, dict):
        problems.add("$", f"a rule is an object, not {_shown(document)}")
        return None
    try:
        return Rule.model_validate(_as_tuples(document))
    except ValidationError as error:
        seen: set[tuple[str, str]] = set()
        for mistake in error.errors():
            path, step, kind = _place(mistake["loc"], document)
            message = _message(mistake, kind)
            if (path, message) not in seen:
                seen.add((path, message))
                problems.add(path, message, step)
        return None


def _as_tuples(value: Any) -> Any:
    """The document with `times` and `gap_ms` as tuples, which strict models want."""
    if isinstance(value, list):
        return [_as_tuples(item) for item in value]
    if isinstance(value, dict):
        return {
            name: tuple(item)
            if name in ("times", "gap_ms") and isinstance(item, list)
            else (item if name in ("where", "until", "fields") else _as_tuples(item))
            for name, item in value.items()
        }
    return value


def _place(loc: tuple[int | str, ...], document: Any) -> tuple[str, str, str]:
    """JSON path of a location, the name of its step and the kind of object it lies in."""
    path, step, kind, value = "$", "", "", document
    for part in loc:
        if part in ("step", "group") and isinstance(value, dict) and part not in value:
            kind = str(part)
            continue
        if part == "group" and kind != "group" and isinstance(value, dict):
            kind = "group"
            continue
        inside = (isinstance(value, dict) and part in value) or (isinstance(value, list) and isinstance(part, int))
        if not inside and not (isinstance(value, dict) and isinstance(part, str) and part in _NAMES[kind]):
            break
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
        value = value[part] if inside and (not isinstance(part, int) or part < len(value)) else None
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            step = value["name"]
        if part in ("skip", "limits", "emit"):
            kind = str(part)
    return path, step, kind


def _message(mistake: Any, kind: str) -> str:
    value = mistake["input"]
    match mistake["type"]:
        case "extra_forbidden":
            name = str(mistake["loc"][-1])
            return f"unknown name '{name}'{suggest(name, _NAMES[kind])}"
        case "missing":
            return f"'{mistake['loc'][-1]}' is missing"
        case "literal_error":
            known = [text.strip().strip("'") for text in mistake["ctx"]["expected"].replace(" or ", ", ").split(",")]
            near = suggest(value, known) if isinstance(value, str) else ""
            return f"{_shown(value)} is not one of {', '.join(known)}{near}"
    text = mistake["msg"]
    return f"{_shown(value)}: {text[0].lower()}{text[1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
