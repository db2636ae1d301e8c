"""What a configuration gets wrong is refused at its file, line and column, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from saima.errors import DeclarationError, SaimaError
from saima.importer import import_file

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "refused.yaml").read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_refused_at_its_place(example: Any, case: dict[str, Any], tmp_path: Path) -> None:
    old, new, at, part = case["old"], case["new"], case["at"], case["part"]
    assert old in example.text
    text = example.text.replace(old, new)
    file = tmp_path / "prediction.xml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        import_file(file, "live", tmp_path / "live", example.resources(tmp_path / "given"))
    error = caught.value
    assert part in error.message
    assert error.place is not None
    assert str(error).startswith(f"{file}:{error.place.line}:{error.place.column}: ")
    if at is not None:
        before = text[: text.index(at)]
        assert (error.place.line, error.place.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
    assert not (tmp_path / "live").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "this is not XML: no element found"),
        ("<prediction/>", "the configuration has no feature"),
        ("<prediction><feature_extract_config/></prediction>", "the configuration has no feature"),
        ('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><prediction/>', "document type"),
    ],
)
def test_files_without_features(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DeclarationError, match=words):
        import_file(tmp_path / "a.xml", "a", tmp_path / "a")


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<prediction>\xff</prediction>")
    with pytest.raises(DeclarationError, match=r"is not UTF-8 text \(byte 12\)"):
        import_file(tmp_path / "a.xml", "a", tmp_path / "a")
    with pytest.raises(DeclarationError, match="cannot be read"):
        import_file(tmp_path / "b.xml", "a", tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("buckets/shown.txt", "1, x", "bucket 'shown' holds something that is no number"),
        ("buckets/shown.txt", " ", "'shown' in .* is empty"),
        ("buckets/shown.txt", "3, 2", "ascend"),
        ("vocabularies/room_tags.txt", "a\na\n", "'a' stands twice"),
        ("types.yaml", "rooms: {tags: list<int64>}", r"types.yaml names 'rooms' \(did you mean 'room'\?\)"),
        ("types.yaml", "room: {tags: lst}", "types.yaml, room.tags: unknown type 'lst'"),
        ("types.yaml", "room: 3", "is a mapping of tables"),
        ("types.yaml", "room: {tags: float64}", "'x' is a string, int64, bool or timestamp, not float64"),
        ("buckets/shown.txt", "", "is empty"),
    ],
)
def test_resources_that_are_wrong(example: Any, name: str, content: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "prediction.xml"
    file.write_text(example.text, encoding="utf-8")
    given = example.resources(tmp_path / "given")
    (given / name).write_text(content)
    with pytest.raises(SaimaError, match=words):
        import_file(file, "live", tmp_path / "live", given)


def test_a_model_that_takes_something_else_is_named(example: Any, tmp_path: Path) -> None:
    file = tmp_path / "prediction.xml"
    file.write_text(example.text.replace('name="shown_level"', 'name="show_level"'), encoding="utf-8")
    given = example.resources(tmp_path / "given", with_models=True)
    with pytest.raises(
        DeclarationError, match=r"takes 'shown_level' \(int64 \[any\]\), and no feature has this name"
    ) as caught:
        import_file(file, "live", tmp_path / "live", given)
    assert caught.value.place is not None
    assert caught.value.place.line == example.text.count("\n", 0, example.text.index('model_name="gift"')) + 1
