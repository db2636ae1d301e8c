"""`dataType` and `default` of a feature."""

from __future__ import annotations

import re
from typing import Any

from saima.errors import suggest
from saima.importer.markup import Attribute, Element

TYPES = {
    "int64": "int64", "int32": "int64", "int": "int64", "long": "int64", "float": "float32", "float32": "float32",
    "double": "float64", "float64": "float64", "string": "string", "bool": "bool",
}  # fmt: skip
"""Values of `dataType`, and our types."""

_ARRAY = re.compile(r"(Long|Int|Float|Double|String)Array\(\s*(.+?)\s*,\s*(\d+)\s*\)")
_INT = re.compile(r"[+-]?\d+[lL]?")
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdDlL]?")
LONGEST = 10_000


def data_type(element: Element) -> str:
    """Our type of a feature's `dataType`. Raises DeclarationError at it."""
    attribute = element.require("dataType")
    text = attribute.value.strip()
    if text not in TYPES:
        raise attribute.error(f"unknown dataType '{text}'{suggest(text, TYPES)}; known: {', '.join(TYPES)}")
    return TYPES[text]


def default(element: Element, dtype: str) -> Any:
    """A feature's default: a value of the type, a list of them, or None. Raises DeclarationError at it.

    `LongArray(0, 4)` is four zeros, and so for the other types.
    """
    attribute = element.attributes.get("default")
    if attribute is None or (not attribute.value.strip() and dtype != "string"):
        return None
    text = attribute.value.strip()
    array = _ARRAY.fullmatch(text)
    if array:
        if int(array[3]) > LONGEST:
            raise attribute.error(f"an array has at most {LONGEST} values", array.start(3))
        return [_scalar(attribute, array[2], dtype)] * int(array[3])
    if "(" in text and dtype != "string":
        names = ("LongArray", "IntArray", "FloatArray", "DoubleArray", "StringArray")
        name = text.split("(")[0]
        raise attribute.error(f"'{text}' is no default{suggest(name, names)}; a value, or LongArray(value, count)")
    return _scalar(attribute, text, dtype)


def _scalar(attribute: Attribute, text: str, dtype: str) -> Any:
    if dtype == "string":
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        return text[1:-1] if quoted else text
    if dtype == "bool" and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if dtype == "int64" and _INT.fullmatch(text) and abs(int(text.rstrip("lL"))) < 2**63:
        return int(text.rstrip("lL"))
    if dtype.startswith("float") and _FLOAT.fullmatch(text):
        return float(text.rstrip("fFdDlL"))
    raise attribute.error(f"the default '{text}' is not {dtype}")
