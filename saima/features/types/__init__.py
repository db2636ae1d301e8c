"""Static types of the feature language: what they are, their texts, their values."""

from saima.features.types.decimals import digits_of
from saima.features.types.definition import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    INT64_MAX,
    INT64_MIN,
    NULL,
    SCALARS,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    unify,
)
from saima.features.types.texts import TypeTextError, parse_type
from saima.features.types.values import (
    declarable,
    declared,
    fits,
    from_frame_value,
    narrow,
    series,
    to_frame_value,
    type_of,
)

__all__ = [
    "BOOL",
    "FLOAT32",
    "FLOAT64",
    "INT64",
    "INT64_MAX",
    "INT64_MIN",
    "NULL",
    "SCALARS",
    "STRING",
    "TIMESTAMP",
    "Type",
    "TypeTextError",
    "declarable",
    "declared",
    "digits_of",
    "fits",
    "from_frame_value",
    "list_of",
    "map_of",
    "narrow",
    "parse_type",
    "series",
    "to_frame_value",
    "type_of",
    "unify",
]
