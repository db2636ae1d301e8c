"""A user's operators get the same treatment as ours: reference against lowering, the failing value named."""

from __future__ import annotations

from pathlib import Path

import pytest

from saima.errors import DeclarationError
from saima.features import load
from saima.features.checks.agreement import check_operators, disagreement
from saima.features.expression import Scope, compile_expression
from saima.features.nodes import Call, column
from saima.features.types import FLOAT64, INT64

BASE = (Path(__file__).parents[1] / "shop.yaml").read_text("utf-8")
HEAD = "import polars as pl\n\nfrom saima.features.operators.base import operator\n\n\n"


def check(folder: Path, code: str, text: str = "item.price > 10") -> str:
    directory = folder / "shop"
    directory.mkdir()
    (directory / "tags.txt").write_text("red\nblue\n", encoding="utf-8")
    (directory / "algorithm.yaml").write_text(BASE.replace('"item.price > 10"', f'"{text}"'), encoding="utf-8")
    (directory / "operators.py").write_text(HEAD + code, encoding="utf-8")
    tried = check_operators(load(directory))
    return "; ".join(f"{one.operator} {one.calls} {one.why_not or ''}".strip() for one in tried)


def test_an_operator_that_agrees_passes_called_or_not(tmp_path: Path) -> None:
    code = (
        "@operator(x='float', returns='float64', lower=lambda _, x: x * 2.0, exact=True)\ndef twice(x):\n"
        "    return x * 2.0\n\n\n"
        "@operator(x='text', by='constant', returns='bool', lower=lambda c, x: x.str.starts_with(c.constants['by']))\n"
        "def begins(x, by):\n    return x.startswith(by)\n"
    )
    assert check(tmp_path, code, "twice(item.price) > 10 and twice(lng) > 0") == (
        "twice 1; begins 0 no feature calls it, and its constant 'by' has no default"
    )


BAD = {
    "another sign": (
        "@operator(x='int', returns='int64', lower=lambda _, x: x % 3)\n"
        "def rest(x):\n    import math\n    return int(math.fmod(x, 3))\n",
        r"operators.py:6:1: operator 'rest': the lowering of many rows gives \d, the reference -\d for x=-",
    ),
    "a null that is not passed": (
        "@operator(x='float', returns='float64', lower=lambda _, x: x.fill_null(0.0))\ndef zero(x):\n    return x\n",
        r"operator 'zero': the lowering of many rows gives 0.0, the reference None for x=",
    ),
    "a result that depends on its neighbours": (
        "@operator(x='float', returns='float64', lower=lambda _, x: x / x.count())\ndef share(x):\n    return x\n",
        r"operator 'share': the lowering of many rows gives",
    ),
    "another type": (
        "@operator(x='float', returns='int64', lower=lambda _, x: x)\ndef whole(x):\n    return x\n",
        r"operator 'whole': the lowering fails: TypeError: it is Float64, and int64 is declared",
    ),
    "a reference that raises": (
        "@operator(xs='list<float>', returns='float64', lower=lambda _, xs: xs.list.first())\n"
        "def head(xs):\n    return xs[0]\n",
        r"operator 'head': the reference raises IndexError: list index out of range for xs=\[\]",
    ),
    "a lowering that Polars refuses": (
        "@operator(x='text', returns='string', lower=lambda _, x: x.list.first())\ndef odd(x):\n    return x\n",
        r"operator 'odd': the lowering fails: ",
    ),
    "lengths in bytes": (
        "@operator(x='text', returns='int64', lower=lambda _, x: x.str.len_bytes().cast(pl.Int64))\n"
        "def size(x):\n    return len(x)\n",
        r"operator 'size': the lowering of many rows gives \d+, the reference \d+ for x='",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_an_operator_that_differs_is_named_with_the_value(case: str, tmp_path: Path) -> None:
    code, message = BAD[case]
    with pytest.raises(DeclarationError, match=message) as caught:
        check(tmp_path, code)
    assert caught.value.place is not None
    assert caught.value.place.file == "algorithms/shop/operators.py"


def test_our_own_operators_pass_the_same_check() -> None:
    scope = Scope({"i": column("i", INT64, "request"), "x": column("x", FLOAT64, "request")})
    for text in ("i // 3", "x / 7", "clip(x, -1, 1)", "smooth(i, x, 1.0, 2.0)", "log(x)"):
        node = compile_expression(text, scope)
        assert isinstance(node, Call)
        assert disagreement(node, 100, 0) is None
