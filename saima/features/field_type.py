"""The declared type of a field, and the separators of the text that it may arrive as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Separators:
    """Between items, and between a key and its value; `pair` None: items have no pairs."""

    ITEMS: ClassVar[str] = "\x1d"
    PAIR: ClassVar[str] = ":"
    items: str = ITEMS
    pair: str | None = None


class Delimited(BaseModel):
    """A list or map that may also arrive as delimited text: `{type: list<string>, items: ","}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(description="list<T>, vector<T,n> or map<string,T> of scalars")
    items: str = Field(
        Separators.ITEMS, min_length=1, description="Between items; by default the control character 1D."
    )
    pair: str | None = Field(
        None,
        min_length=1,
        description="Between a key and its value, of a map by default ':'; items of a list are cut before it.",
    )


class FieldType(str):
    """Text of a field's type; `separators` of the delimited text, where they are declared."""

    separators: Separators | None = None

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls._made,
            core_schema.union_schema([core_schema.str_schema(), handler.generate_schema(Delimited)]),
            serialization=core_schema.plain_serializer_function_ser_schema(cls._plain),
        )

    @classmethod
    def _made(cls, given: str | Delimited) -> FieldType:
        if isinstance(given, str):
            return cls(given)
        made = cls(given.type)
        made.separators = Separators(given.items, given.pair)
        return made

    @staticmethod
    def _plain(value: str) -> str | dict[str, str]:
        separators = getattr(value, "separators", None)
        if separators is None:
            return str(value)
        pair = {} if separators.pair is None else {"pair": separators.pair}
        return {"type": str(value), "items": separators.items, **pair}


def separators_of(dtype: str) -> Separators:
    """Separators of a field's type; the default ones where none are declared."""
    found: Separators | None = getattr(dtype, "separators", None)
    return found or Separators()
