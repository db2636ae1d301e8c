"""A bundle spoilt in every way is refused, and the error names the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from saima.errors import BundleError, DeclarationError
from saima.host.bundle import Bundle
from saima.host.manifest import read_manifest
from saima.stores.interfaces import BundleRow


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def model_file(bento: Path) -> Path:
    return next((bento.parents[2] / "models").glob("small-first/*/model.ubj"))


def vocabulary(bento: Path) -> Path:
    return bento / "src/algorithms/small/vocabularies/colours.txt"


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda bento: spoil(bento / "src/saima/host/bundle.py"), r"saima/host/bundle\.py: its digest differs"),
        (lambda bento: (bento / "src/algorithms/small/algorithm.py").unlink(), r"algorithm\.py: missing from bundle"),
        (lambda bento: (bento / "src/algorithms/small/operators.py").touch(), r"operators\.py: not in the manifest"),
        (lambda bento: vocabulary(bento).unlink(), r"vocabularies/colours\.txt: missing from bundle"),
        (lambda bento: spoil(vocabulary(bento)), r"vocabularies/colours\.txt: its digest differs"),
        (lambda bento: spoil(bento / "src/golden/features.arrow"), r"features\.arrow: its digest differs"),
        (lambda bento: spoil(model_file(bento)), "model 'first' has been changed"),
        (lambda bento: shutil.rmtree(model_file(bento).parent), "model small-first:.* is missing; looked in"),
        (lambda bento: (bento / "src/manifest.json").unlink(), r"no manifest\.json in it or in its src"),
        (lambda bento: (bento / "src/manifest.json").write_text('{"format": 1'), r"manifest\.json: document: "),
        (lambda bento: changed(bento, trained_at=1), "its digest does not fit its contents"),
        (lambda bento: changed(bento, trained_at="then"), r"manifest\.json: trained_at: "),
    ],
)
def test_a_spoilt_bundle_is_refused_before_anything_is_loaded(
    copy: Path, spoiled: Callable[[Path], object], words: str
) -> None:
    spoiled(copy)
    with pytest.raises(BundleError, match=words):
        Bundle.open(copy)


def changed(bento: Path, **values: object) -> None:
    path = bento / "src/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_vocabulary_that_has_gone_is_named_where_files_are_not_held_against_their_digests(copy: Path) -> None:
    vocabulary(copy).unlink()
    words = r"algorithms/small/algorithm\.yaml:8:34: vocabulary 'colours': 'colours\.txt' does not exist"
    with pytest.raises(DeclarationError, match=words):
        Bundle.open(copy, verify=False)


def test_a_vocabulary_of_other_terms_is_another_plan(copy: Path) -> None:
    vocabulary(copy).write_text("blue\nred\n")
    with pytest.raises(BundleError, match="compiles another feature plan than the bundle was built with"):
        Bundle.open(copy, verify=False)


def test_another_digest_than_asked_for_is_refused(row: BundleRow) -> None:
    with pytest.raises(BundleError, match=f"is bundle {row.digest[:12]}, and aaaa was asked for"):
        Bundle.open(row.path, digest="aaaa")


def test_other_golden_scores_never_pass(copy: Path) -> None:
    manifest = read_manifest(copy / "src")
    first = manifest.golden[0]
    off = [first.model_copy(update={"scores": [s * 1.001 for s in first.scores]}), *manifest.golden[1:]]
    sealed = manifest.model_copy(update={"golden": off}).sealed()
    (copy / "src/manifest.json").write_text(sealed.model_dump_json())
    with pytest.raises(BundleError, match="golden request 0 is answered"):
        Bundle.open(copy).check_golden()
