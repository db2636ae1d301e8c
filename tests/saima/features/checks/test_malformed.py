"""Every malformed declaration is refused with file, line, column, the offending text and a way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from saima.errors import DeclarationError
from saima.features import load

HERE = Path(__file__).parent
GOOD = (HERE.parent / "shop.yaml").read_text("utf-8")
CASES: list[dict[str, Any]] = yaml.safe_load((HERE / "malformed.yaml").read_text("utf-8"))


def write(folder: Path, text: str) -> Path:
    directory = folder / "shop"
    directory.mkdir(exist_ok=True)
    (directory / "algorithm.yaml").write_text(text, encoding="utf-8")
    (directory / "tags.txt").write_text("red\nblue\n", encoding="utf-8")
    return directory


def test_the_base_loads(tmp_path: Path) -> None:
    algorithm = load(write(tmp_path, GOOD))
    assert next(iter(algorithm.plan.features)) == "place_id"
    assert algorithm.vocabularies["tags"].ids == {"red": 1, "blue": 2}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_refused_at_its_place(case: dict[str, Any], tmp_path: Path) -> None:
    old, new, at, part = case["old"], case["new"], case["at"], case["part"]
    assert GOOD.count(old) == 1, f"'{old}' stands {GOOD.count(old)} times"
    text = GOOD.replace(old, new)
    with pytest.raises(DeclarationError) as caught:
        load(write(tmp_path, text))
    error = caught.value
    assert part in error.message
    assert error.place is not None
    assert error.place.file == "algorithms/shop/algorithm.yaml"
    assert str(error).startswith(f"algorithms/shop/algorithm.yaml:{error.place.line}:{error.place.column}: ")
    if at is not None:
        before = text[: text.index(at)] if text.index(at) else ""
        assert (error.place.line, error.place.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
        shown, caret = error.caret.split("\n")
        assert shown[caret.index("^") :].startswith(at.split("\n")[0][: len(shown) - caret.index("^")])


@pytest.mark.parametrize(
    ("style", "value"),
    [
        ("plain", "sold + nothing"),
        ("single", "'concat(''a'', nothing)'"),
        ("double", '"concat(\\"\\u00e9\\", nothing)"'),
        ("literal", "|\n      sold +\n      nothing"),
        ("folded", ">-\n      sold +\n      nothing"),
        ("two lines", '"sold +\n      nothing"'),
    ],
)
def test_the_column_inside_any_style_of_text(style: str, value: str, tmp_path: Path) -> None:
    seen = next(line for line in GOOD.split("\n") if line.startswith("  seen:"))
    text = GOOD.replace(seen, f"  seen:\n    value: {value}\n    dtype: float32")
    with pytest.raises(DeclarationError) as caught:
        load(write(tmp_path, text))
    before = text[: text.index("nothing")]
    place = caught.value.place
    assert place is not None
    assert (place.line, place.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))


def test_candidates_are_needed_where_they_are_named(tmp_path: Path) -> None:
    text = "algorithm: shop\ntop_k: 3\nrequest: {fields: {a: int64}}\nfeatures: {b: {value: a, dtype: int64}}\n"
    with pytest.raises(DeclarationError, match=r"yaml:2:1: top_k needs candidates"):
        load(write(tmp_path, text))


def test_a_name_that_two_sides_have_is_ambiguous(tmp_path: Path) -> None:
    text = GOOD.replace("user_id: string, age: int64}\n", "user_id: string, age: int64, price: int64}\n")
    text = text.replace("item.price > 10", "price > 10")
    with pytest.raises(DeclarationError, match=r"'price' is ambiguous: write user\.price or item\.price"):
        load(write(tmp_path, text))


def test_a_missing_algorithm_names_the_near_one(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(DeclarationError, match="did you mean 'shop'"):
        load("shopp", tmp_path)


def test_an_empty_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    directory = write(tmp_path, "")
    with pytest.raises(DeclarationError, match="the file is empty"):
        load(directory)
    (directory / "algorithm.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeclarationError, match="not UTF-8"):
        load(directory)
    (directory / "algorithm.yaml").write_text("[1, 2]")
    with pytest.raises(DeclarationError, match="a declaration is a mapping"):
        load(directory)


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "- " * 5_000 + "a", "a: \x07"])
def test_text_that_is_no_declaration_ends_soon(tmp_path: Path, text: str) -> None:
    """Deep nesting makes YAML readers slow or overflow; a control character is none of YAML's."""
    (tmp_path / "algorithm.yaml").write_text(text, "utf-8")
    with pytest.raises(DeclarationError, match=r"algorithm\.yaml:1:"):
        load(tmp_path)
