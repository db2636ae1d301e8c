"""Expressions that try to be more than expressions are refused while they are compiled; nothing of them ever runs."""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saima.features.expression import Scope, compile_expression
from saima.features.nodes import Constant, column
from saima.features.syntax import MAX_CHARACTERS, MAX_DEPTH, ExpressionError, parse
from saima.features.types import FLOAT64, INT64, STRING, list_of

SCOPE = Scope(
    {
        "n": column("n", INT64, "request"),
        "x": column("x", FLOAT64, "request"),
        "s": column("s", STRING, "request"),
        "xs": column("xs", list_of(STRING), "request"),
    }
)

FORBIDDEN = [
    "__import__('os').system('true')", "s.__class__", "s.__class__.__mro__[1].__subclasses__()", "__builtins__",
    "n.__init__.__globals__['sys']", "(lambda: n)()", "lambda: n", "[y for y in xs]", "{y for y in xs}",
    "{y: 1 for y in xs}", "(y for y in xs)", "sum(y for y in xs)", "(n := 3)", "f'{s}'", "f'{__import__(\"os\")}'",
    "s.upper()", "xs.append('a')", "abs.__call__(n)", "(abs)(n).real", "abs(*xs)", "abs(**xs)", "[*xs]", "{**xs}",
    "{'a'}", "n if n else lambda: 1", "await n", "yield n", "n is None", "n is not None", "xs[n]", "xs[::2]",
    "xs[abs(n)]", "xs['a':'b':'c']", "~n", "n & 1", "n | 1", "n ^ 1", "n << 40", "n >> 1", "xs @ xs", "b'bytes'",
    "1j", "...", "{n: 1}", "{['a']: 1}", "{('a',): 1}", "{1: 'a'}", "[n]", "[[n]]", "(1, x)",
    "'%s' % s if (yield) else 1",
    "print.__self__", "n.real.__class__", "type(n).__bases__", "n .__doc__",
]  # fmt: skip
REFUSED = [
    "eval('1')", "exec('1')", "open('/etc/passwd')", "compile('1', 'f', 'eval')", "globals()", "getattr(n, 'real')",
    "print(n)", "type(n)", "input()", "os.system('true')", "os", "sys.modules", "self", "import os", "n; n", "n = 1",
    "del n", "assert n", "def f(): pass", "class A: pass", "while True: n", "'a' * 1000000000", "[1] * 1000000000",
    "s % n", "'%99999999d' % n", "s + s", "steps('steps', xs)", "steps('eval', xs)", "steps(s, xs)",
    "steps('__import__', xs)",
    "9" * 5000, "-" * 9000 + "1", "(" * 5000 + "n" + ")" * 5000, "[" * 5000 + "]" * 5000, "n" + "+n" * 3000,
    "not " * 2000 + "x", "n" + ".n" * 3000, "abs(" * 1500 + "n" + ")" * 1500, "n if " * 1500 + "n" + " else n" * 1500,
    "s[0]" + "[0]" * 2000, "9" * 400, "1 + " + "9" * 30, "n\x00", "n\ud800", "\ud800", "", "   ", "#",
    "n #",
    "n\\", "'", '"""', "1_", "0777", "n n", "n,", "(n for n)", "1 if n", "hit(s,, s)", "replace_regex(s, '(', '')",
    "replace_regex(s, '(a{1000}){1000}{1000}', '')", "hour(tz='../../etc/passwd')", "cast(s, 'object')", "cast(s, s)",
    "num_bucket(n, 0)", "hash_bucket(x, 7)", "hash_bucket(s, -1)", "top_k(xs, 0)", "slot(s, 1.5)", "n ** s", "exit()",
]  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_python_that_is_no_expression_of_the_language(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCOPE)
    assert caught.value.kind in ("forbidden", "syntax", "name")
    assert 1 <= caught.value.column <= len(text) + 1


@pytest.mark.parametrize("text", REFUSED, ids=[text[:24].encode("ascii", "replace").decode() for text in REFUSED])
def test_refused_with_a_place(text: str) -> None:
    if text == "n #":
        assert compile_expression(text, SCOPE).type == INT64  # a comment, as in Python
        return
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, SCOPE)
    assert 1 <= caught.value.column <= len(text) + 1
    assert len(caught.value.message) < MAX_CHARACTERS + 200


def test_an_expression_has_a_bound() -> None:
    with pytest.raises(ExpressionError, match=f"at most {MAX_CHARACTERS} characters"):
        compile_expression("n" + " " * MAX_CHARACTERS, SCOPE)
    deep = "-" * (MAX_DEPTH - 1) + "n"
    assert compile_expression(deep, SCOPE).type == INT64


@pytest.mark.parametrize(
    "text", ["9**9**9", "9**9**9**9", "2**64", "(2**62) * (2**62)", "1e308 * 10", "exp(1e9)", "1 / 0"]
)
def test_numbers_that_grow_are_null_at_once(text: str) -> None:
    node = compile_expression(text, SCOPE)
    assert isinstance(node, Constant)
    assert node.value is None


def test_a_regular_expression_is_linear_even_on_constants() -> None:
    node = compile_expression(f"replace_regex('{'a' * 60}!', '(a+)+$', '')", SCOPE)
    assert isinstance(node, Constant)
    assert node.value == "a" * 60 + "!"


def test_products_of_lists_have_a_bound() -> None:
    ten = "['a','b','c','d','e','f','g','h','i','j']"
    node = compile_expression(f"combo({', '.join([ten] * 12)})", SCOPE)
    assert isinstance(node, Constant)
    assert node.value == []


def test_python_says_nothing_about_the_texts_inside() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_expression(r"replace_regex(s, '\d+', '#')", SCOPE).type == STRING


def test_neither_eval_nor_exec_nor_import_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("an expression ran as Python")

    for name in ("eval", "exec"):
        monkeypatch.setattr(builtins, name, refuse)
    for text in [*FORBIDDEN, *REFUSED]:
        try:
            compile_expression(text, SCOPE)
        except ExpressionError:
            continue
    assert compile_expression("abs(n) + len(xs)", SCOPE).type == INT64


PIECES = st.sampled_from(
    ["n", "x", "s", "xs", "__class__", ".", "(", ")", "[", "]", "{", "}", ",", ":", "=", ":=", "+", "-", "*", "**", "/",
     "//", "%", "<", "==", " is ", " in ", " not ", " and ", " or ", " if ", " else ", " for ", "lambda ", "await ",
     "yield ", "'a'", '"', "'", "\\", "f'{n}'", "b'a'", "1", "9999999999999999999", "1e999", "0x", "j", "abs", "hit",
     "steps", "#", "@", "~", "&", "\x00", "\ud800", "é", "\N{ZERO WIDTH JOINER}", "\n", " ", "None", "True", "...", "*",
     "->", "!"]
)  # fmt: skip


@settings(max_examples=150, deadline=None, database=None)
@given(pieces=st.lists(PIECES, max_size=12))
def test_any_text_is_an_expression_or_an_error_with_a_place(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        node = compile_expression(text, SCOPE)
    except ExpressionError as error:
        column = error.column
    else:
        column = 1
        assert parse(text) is not None
        assert node.type is not None
    assert 1 <= column <= len(text) + 1, text


@pytest.mark.full
@settings(max_examples=10_000, deadline=None, database=None)
@given(pieces=st.lists(PIECES, max_size=16))
def test_any_text_is_an_expression_or_an_error_in_full(pieces: list[str]) -> None:
    test_any_text_is_an_expression_or_an_error_with_a_place.hypothesis.inner_test(pieces)  # type: ignore[attr-defined]
