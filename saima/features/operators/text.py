"""Text: parts, replacements, normal form, tokens, distance. Lengths and places are in code points."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import polars as pl

from saima.features.operators.base import TypeFault, operator
from saima.features.operators.kernel import by_rows
from saima.features.types import INT64, STRING, Type, list_of

if TYPE_CHECKING:
    from saima.features.nodes import Call
    from saima.features.vocabularies import Vocabulary


def _constant_text(call: Call, *names: str) -> None:
    for name in names:
        if not isinstance(call.constants[name], str):
            raise TypeFault(f"'{name}' of {call.operator.name} is a text, not {call.constants[name]!r}")


@operator(parts="text", returns="string", lower=lambda _, *parts: pl.concat_str(parts), exact=True)
def concat(*parts: str) -> str:
    """Texts in a row; null if one is missing.

    >>> concat("x", "y")
    'xy'
    """
    return "".join(parts)


def _split_type(call: Call) -> Type:
    _constant_text(call, "by")
    if not call.constants["by"]:
        raise TypeFault("split needs a separator that is not empty")
    return list_of(STRING)


@operator(
    text="string", by="constant", returns=_split_type, lower=lambda call, text: text.str.split(call.constants["by"])
)
def split(text: str, by: str) -> list[str]:
    """Parts of a text; a missing text gives [].

    >>> split("a,,b", ",")
    ['a', '', 'b']
    """
    return text.split(by)


def _join_type(call: Call) -> Type:
    _constant_text(call, "by")
    return STRING


@operator(
    xs="list<text>", by="constant", returns=_join_type,
    lower=lambda call, xs: xs.list.join(call.constants["by"], ignore_nulls=True),
)  # fmt: skip
def join(xs: list[str | None], by: str) -> str:
    """Elements as one text; nulls are skipped.

    >>> join(["a", None, "b"], "-")
    'a-b'
    """
    return by.join(x for x in xs if x is not None)


def _replace_type(call: Call) -> Type:
    _constant_text(call, "old", "new")
    if not call.constants["old"]:
        raise TypeFault("replace needs an old text that is not empty")
    return STRING


@operator(
    text="string", old="constant", new="constant", returns=_replace_type, exact=True,
    lower=lambda call, text: text.str.replace_all(call.constants["old"], call.constants["new"], literal=True),
)  # fmt: skip
def replace(text: str, old: str, new: str) -> str:
    """All occurrences of a literal text replaced.

    >>> replace("a-b-c", "-", "_")
    'a_b_c'
    """
    return text.replace(old, new)


def _regex_type(call: Call) -> Type:
    _constant_text(call, "pattern", "new")
    try:
        pl.select(pl.lit("").str.replace_all(call.constants["pattern"], call.constants["new"]))
    except pl.exceptions.ComputeError as error:
        raise TypeFault(f"{call.constants['pattern']!r} is not a regular expression: {error}") from None
    return STRING


@operator(
    text="string", pattern="constant", new="constant", returns=_regex_type,
    lower=lambda call, text: text.str.replace_all(call.constants["pattern"], call.constants["new"]),
)  # fmt: skip
def replace_regex(text: str, pattern: str, new: str) -> str:
    """All matches of a Rust regular expression replaced; `$1`, `${name}` are groups.

    >>> replace_regex("a1b22", "[0-9]+", "#")
    'a#b#'
    """
    groups = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: rf"\g<{found[1] or found[2]}>", new.replace("\\", "\\\\"))
    return re.sub(pattern, groups, text)


@operator(text="string", returns="string", lower=by_rows, exact=True)
def normalize(text: str) -> str:
    """NFKC, lower case, white space trimmed and collapsed.

    >>> normalize("  Ｈéllo   World ")
    'héllo world'
    """
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _tokens(call: Call) -> Type:
    return list_of(STRING if call.constants["vocabulary"] is None else INT64)


@operator(text="string", vocabulary="vocabulary", returns=_tokens, lower=by_rows)
def tokenize(text: str, vocabulary: Vocabulary | None = None) -> list[Any]:
    """Words of the normal form; with a vocabulary their ids, 0 where unknown.

    >>> tokenize("Red  Shoes")
    ['red', 'shoes']
    """
    words = normalize.reference(text).split(" ") if normalize.reference(text) else []
    return words if vocabulary is None else [vocabulary.ids.get(word, 0) for word in words]


@operator(a="string", b="string", returns="int64", lower=by_rows, bits=32.0, exact=True)
def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance by code point.

    >>> edit_distance("kitten", "sitting")
    3
    """
    previous = list(range(len(b) + 1))
    for place, left in enumerate(a, start=1):
        current = [place]
        for at, right in enumerate(b, start=1):
            current.append(min(previous[at] + 1, current[-1] + 1, previous[at - 1] + (left != right)))
        previous = current
    return previous[-1]
