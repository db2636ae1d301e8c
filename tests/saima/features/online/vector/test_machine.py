"""The machine gives the bits of NumPy's kernels, whatever the number of rows, and leaves to them what it lacks."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from saima.features.extractor import Extractor
from saima.features.online.vector import assembly, machine
from saima.features.online.vector.registers import Unsupported

from .test_pairs import FIELDS, TIME, VECTORISED, Compiled, bits, compiled

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 7.0, 1e300, -1e300, 2.0**100, 3.4e38, 1e-320, float("inf"), -float("inf")]
LACKS = ["i + j", "i // j", "i % j", "-i", "sign(i)", "clip(i, -5, j)", "bucketize(x, buckets.b)", "cast(i, 'bool')"]
SIDES = dict.fromkeys(FIELDS, "item") | {"y": "request", "j": "user", "q": "user"}


def some(rng: random.Random, dtype: str) -> Any:
    if rng.random() < 0.15:
        return None
    match dtype:
        case "float64":
            return rng.choice([*SPECIAL, float("nan"), rng.uniform(-100, 100)])
        case "float32":
            return float(np.float32(rng.uniform(-10, 10)))
        case "int64":
            return rng.choice([rng.randrange(-12, 12), rng.randrange(-(2**63), 2**63)])
        case "bool":
            return rng.random() < 0.5
        case "timestamp":
            return rng.randrange(2**42)
        case "string":
            return rng.choice(["", "a", "ö"])
    return [rng.uniform(-10, 10) for _ in range(rng.randrange(3))]


def rows(rng: random.Random, n: int) -> list[dict[str, dict[str, Any]]]:
    made: list[dict[str, dict[str, Any]]] = []
    for _ in range(n):
        row: dict[str, dict[str, Any]] = {"request": {}, "user": {}, "item": {}}
        for name, side in SIDES.items():
            row[side][name] = some(rng, FIELDS[name])
        made.append(row)
    return made


def by_kernels(algorithm: Compiled, monkeypatch: pytest.MonkeyPatch) -> Extractor:
    """An extractor whose machine lacks everything."""

    def refuse(*_: Any) -> Any:
        raise Unsupported

    with monkeypatch.context() as patch:
        patch.setattr(assembly, "emit", refuse)
        return Extractor(algorithm, None)


@pytest.mark.parametrize("default", [False, True])
def test_machine_kernels_and_plan_give_the_same_bits_in_every_chunk(
    default: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = compiled(VECTORISED, SIDES, default)
    extractor, other = Extractor(algorithm, None), by_kernels(algorithm, monkeypatch)
    names = [name for name in algorithm.plan.features if algorithm.plan.features[name].name != "string"]
    for seed, n in enumerate([1, machine.CHUNK - 1, machine.CHUNK, 2 * machine.CHUNK + 3]):
        made = rows(random.Random(seed), n)
        given = made[0]["request"], made[0]["user"], [row["item"] for row in made]
        found, kernels = extractor.extract(*given, TIME), other.extract(*given, TIME)
        wanted = algorithm.plan.evaluate(extractor.inputs(*given, TIME))
        assert bits(found.features) == bits(wanted) == bits(kernels.features)
        assert np.array_equal(found.matrix(names), kernels.matrix(names), equal_nan=True)
        some_rows = [0, n // 2, n - 1]
        assert repr(found.plain(some_rows)) == repr(kernels.plain(some_rows))


def test_what_the_machine_lacks_is_left_to_kernels() -> None:
    texts = [text for text in VECTORISED if text not in LACKS]
    extractor = Extractor(compiled([*LACKS, "x + y", "x > y", "x * i"], SIDES, False), None)
    assert extractor._candidates is not None
    homes = extractor._candidates._program._machine.homes
    assert not {f"r{place}" for place in range(len(LACKS))} & homes.keys()
    assert {f"r{len(LACKS) + place}" for place in range(3)} <= homes.keys()
    everything = Extractor(compiled(texts, SIDES, False), None)._candidates
    assert everything is not None
    assert len(everything._program._machine.homes) > len(texts) / 2
