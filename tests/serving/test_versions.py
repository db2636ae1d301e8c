"""Versions side by side in a process: signed or refused, in modules of their own, warm before they route, then gone."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from saima.errors import BundleError, SaimaError
from saima.host.bundle import Bundle
from saima.host.manifest import document_digest, read_manifest
from saima.host.signature import SIGNATURE, new_key, sign
from serving.imports import publish_models

YAML = """
algorithm: v
request: {fields: {x: float64}}
features: {z: {value: "x", dtype: float32, default: 0.0}}
models: {rule: {kind: python, file: rule.py, inputs: [z], output: y}}
"""
RULE = "NUMBER = %d\n\n\ndef predict(state, tensors):\n    return tensors['dense'][:, 0] + NUMBER\n"
OWN = """
from .settings import NUMBER


def postprocess(body, answer):
    return {**answer, "number": NUMBER, "module": __name__}
"""


def files(number: int, **more: str) -> dict[str, str]:
    return {
        "algorithm.yaml": YAML,
        "rule.py": RULE % number,
        "algorithm.py": OWN,
        "settings.py": f"NUMBER = {number}\n",
        **{name.replace("_py", ".py"): text for name, text in more.items()},
    }


def ask(x: float = 1.0) -> dict[str, Any]:
    return {"algorithm": "v", "request": {"x": x}}


def test_equal_module_names_keep_their_own_values_and_go_with_their_version(works: Any) -> None:
    rows = [works.publish("v", files(number)) for number in (1, 2, 3)]
    works.deploy(rows[0])
    host = works.host()
    answers = [host.predict(ask())]
    slots = [next(iter(host._answerer.table.routed()))]
    bundle = slots[0].loaded.bundle
    gone = {
        "bundle": weakref.ref(bundle),
        "own code": weakref.ref(bundle._own.module),
        "helper": weakref.ref(sys.modules[bundle._own.module.__name__.replace(".algorithm", ".settings")]),
        "model": weakref.ref(bundle.models["rule"]),
        "model's module": weakref.ref(bundle.models["rule"].module),
        "loaded": weakref.ref(slots[0].loaded),
        "plan": weakref.ref(bundle.algorithm.plan),
    }
    del bundle
    works.deploy(rows[1])
    works.eventually(lambda: host.predict(ask())["version"] == rows[1].publication)
    answers.append(host.predict(ask()))
    back = host._reconciler.slots
    assert {slot.publication for slot in back if slot.state == "ready"} == {1, 2}, "v1 is a warm standby"
    works.deploy(rows[2])
    works.eventually(lambda: host.predict(ask())["version"] == rows[2].publication)
    answers.append(host.predict(ask()))
    assert [(a["scores"], a["number"]) for a in answers] == [([2.0], 1), ([3.0], 2), ([4.0], 3)]
    assert len({a["module"] for a in answers}) == 3
    works.eventually(lambda: slots[0].state == "gone")
    slots.clear()
    del back

    def left() -> list[str]:
        gc.collect()
        return [name for name, reference in gone.items() if reference() is not None]

    works.eventually(lambda: not left(), 20)
    assert answers[0]["module"] not in sys.modules


def test_a_first_call_that_is_slow_is_met_by_nobody(works: Any) -> None:
    """Own code that takes half a second when it is first called: under load and swaps, the caller is the warm-up."""
    slow = """
import time

FIRST = []


def postprocess(body, answer):
    if not FIRST:
        time.sleep(0.5)
        FIRST.append(answer["trace"])
    return answer
"""
    rows = [works.publish("v", files(number, algorithm_py=slow)) for number in (1, 2, 3)]
    works.deploy(rows[0], lane={"threads": 2, "deadline_ms": 60_000})
    host = works.host()
    versions: list[int] = []
    halt = threading.Event()

    def load() -> None:
        while not halt.is_set():
            versions.append(host.predict(ask())["version"])

    thread = threading.Thread(target=load)
    thread.start()
    firsts = []
    for row in rows:
        works.deploy(row)
        works.eventually(lambda p=row.publication: versions and versions[-1] == p)
        (slot,) = host._answerer.table.routed()
        firsts.append(slot.loaded.bundle._own.module.FIRST)
    halt.set()
    thread.join()
    assert firsts == [["warm-up"]] * 3
    assert set(versions) == {row.publication for row in rows}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"algorithm_py": "def postprocess(body, answer):\n    return {'x': 1 / 0}\n"}, "warm-up request 0"),
        ({"algorithm_py": "def preprocess(body):\n    return None\n"}, "preprocess gave NoneType"),
        ({"algorithm_py": "raise OSError('no')\n"}, "OSError: no"),
        ({"algorithm_py": "from .absent import x\n"}, "ModuleNotFoundError"),
    ],
)
def test_a_version_that_fails_its_warm_up_never_routes(works: Any, changed: dict[str, str], words: str) -> None:
    good, bad = works.publish("v", files(1)), works.publish("v", files(2, **changed))
    works.deploy(good)
    host = works.host()
    works.deploy(bad)
    slot = works.eventually(lambda: next((s for s in host.status()["slots"] if s["state"] == "error"), None))
    assert words in slot["error"]
    assert host.predict(ask())["version"] == good.publication


def test_recorded_entries_warm_up_code_that_calls(works: Any) -> None:
    """A warm-up request brings what its channel gave; without it the bundle could not answer, and would not route."""
    own = """
def preprocess(body, channel):
    (row,) = channel.read("shop", ["s"])
    return {**body, "request": {"x": row["fee"], "shop": None}}
"""
    yaml = (
        YAML.replace("x: float64", "x: float64, shop: string")
        + "sources: {opened: {key: shop, fields: {shop: string, fee: float64}}}\n"
    )
    yaml += "tables: {shop: {source: opened, key: shop}}\n"
    row = works.publish("v", files(1, algorithm_py=own) | {"algorithm.yaml": yaml})
    root = Path(row.path) / "src"
    works.deploy(row)
    host = works.host()
    (slot,) = host.status()["slots"]
    assert "warm-up request 0 cannot be answered" in slot["error"]
    works.stop()
    entries = [{"read": "shop", "keys": ["s"], "rows": [{"fee": 2.0}], "versions": [[0, None, 0]]}]
    document = json.loads((root / "manifest.json").read_text())
    document["warm_up"] = [{"time": 5, "request": {"x": None, "shop": "s"}, "channel": entries}]
    document["digest"] = document_digest(document)
    (root / "manifest.json").write_text(json.dumps(document))
    number = works.registry.publish("v", row.lineage, document["digest"], "v:w", row.path, {})
    works.deploy(works.registry.bundle(number))
    host = works.host()
    assert host.status()["slots"][-1]["state"] == "routed"


def test_no_code_runs_before_the_digests_are_verified(works: Any, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    row = works.publish("v", files(1))
    root = Path(row.path) / "src" / "algorithms" / "v"
    for name in ("algorithm.py", "settings.py", "rule.py"):
        whole = (root / name).read_text()
        (root / name).write_text(f"open({str(mark)!r}, 'w').close()\n{whole}")
        with pytest.raises(BundleError, match=f"{name}: its digest differs"):
            Bundle.open(row.path)
        (root / name).write_text(whole)
    (root / "operators.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    with pytest.raises(BundleError, match="not in the manifest"):
        Bundle.open(row.path)
    (root / "operators.py").unlink()
    import py_compile

    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(mark)!r}, 'w').close()\ndef postprocess(body, answer):\n    return answer\n")
    for name in ("algorithm", "settings"):
        target = root / "__pycache__" / f"{name}.{sys.implementation.cache_tag}.pyc"
        py_compile.compile(
            str(evil), str(target), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH, doraise=True
        )
    Bundle.open(row.path).close()
    assert not mark.exists(), "compiled Python that no digest covers was run"


def test_signatures(works: Any, tmp_path: Path) -> None:
    public, other = new_key(tmp_path / "key"), new_key(tmp_path / "other")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SaimaError, match="never written over"):
        new_key(tmp_path / "key")
    algorithm = works.write("v", files(1))
    unsigned = publish_models(algorithm, works.settings)
    Bundle.open(unsigned.path).close()
    with pytest.raises(BundleError, match="is not signed, and this host takes signed bundles only"):
        Bundle.open(unsigned.path, trusted=[public])
    signing = works.settings.model_copy(update={"signing_key": tmp_path / "key"})
    signed = publish_models(works.write("v", files(2)), signing)
    Bundle.open(signed.path, trusted=[other, public]).close()
    with pytest.raises(BundleError, match="which is not among the trusted_keys"):
        Bundle.open(signed.path, trusted=[other])
    root, before = Path(signed.path) / "src", (Path(signed.path) / "src" / SIGNATURE).read_text()
    digest = read_manifest(root).digest
    forged = {**json.loads(before), "signature": json.loads(sign("0" * 64, tmp_path / "key"))["signature"]}
    impostor = {**json.loads(sign(digest, tmp_path / "other")), "key": public}
    for text, words in (
        (json.dumps(forged), "is not one of bundle"),
        (json.dumps(impostor), "is not one of bundle"),
        ("{", "is no signature"),
        ("[]", "is no signature"),
        ('{"key": "x", "signature": "?"}', "is no signature"),
        (json.dumps({"key": "x", "signature": ""}), "not among the trusted_keys"),
    ):
        (root / SIGNATURE).write_text(text)
        with pytest.raises(BundleError, match=words):
            Bundle.open(signed.path, trusted=[public])
    (root / SIGNATURE).write_text(before)
    shutil.copy(root / SIGNATURE, Path(unsigned.path) / "src" / SIGNATURE)
    with pytest.raises(BundleError, match="is not one of bundle"):
        Bundle.open(unsigned.path, trusted=[public])


def test_a_host_with_a_key_routes_signed_versions_only(works: Any, tmp_path: Path) -> None:
    public = new_key(tmp_path / "key")
    unsigned = publish_models(works.write("v", files(1)), works.settings)
    signing = works.settings.model_copy(update={"signing_key": tmp_path / "key"})
    signed = publish_models(works.write("v", files(2)), signing)
    works.settings = works.settings.model_copy(update={"trusted_keys": [public]})
    works.deploy(signed)
    works.deploy(works.registry.bundle(works.registry.publish("v", "two", unsigned.digest, "v:x", unsigned.path, {})))
    host = works.host()
    states = {slot["publication"]: (slot["state"], slot["error"]) for slot in host.status()["slots"]}
    assert states[signed.publication] == ("routed", "")
    (error,) = [error for number, (_, error) in states.items() if number != signed.publication]
    assert "is not signed" in error
