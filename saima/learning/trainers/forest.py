"""Sums of decision trees over a few hundred rows, compiled: what XGBoost answers, to the bit, without its start-up.

XGBoost's own prediction spends longer on preparing a small batch than on one row, and visits nodes one by one. Here all
rows of a block go down a tree together, level by level, without a branch. A forest is used only where it has answered
probes as its booster does, bit for bit; boosters of other kinds (categories, several targets, dart) answer themselves.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from saima.errors import SaimaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IDENTITY = ("reg:squarederror", "rank:ndcg", "rank:pairwise", "rank:map")
_LOGISTIC = ("binary:logistic", "reg:logistic")
_DEEPEST = 24
"""Levels of the deepest tree that is compiled: every row walks as many as its tree has."""
_BLOCK = 64
"""Rows that go down a tree together: of 100 features they fit into the first cache."""
_PROBES = 256
"""Rows that both answer before the forest is used."""


@dataclass(frozen=True)
class Forest:
    """Nodes of all trees, one after the other; a leaf is its own child.

    feature, child: uint32 [nodes]; a child is twice the left one's place, plus 1 where a gap goes right, and the right
    one is the next. threshold, value: float32 [nodes]: below the threshold goes left; the value counts at leaves.
    roots: uint32 [trees]. depths: int32 [trees], the levels below each root.
    """

    feature: NDArray[np.uint32]
    threshold: NDArray[np.float32]
    child: NDArray[np.uint32]
    value: NDArray[np.float32]
    roots: NDArray[np.uint32]
    depths: NDArray[np.int32]
    base: float
    logistic: bool
    width: int
    """Features of a row."""

    def predict(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of rows (float32 [n, width], NaN is a gap), float32 [n]. Raises SaimaError for another width."""
        if rows.shape[1] != self.width:
            raise SaimaError(f"rows have {rows.shape[1]} features, and the trees were trained on {self.width}")
        found = np.empty(len(rows), np.float32)
        _walk(np.ascontiguousarray(rows).ravel(), self.width, self.feature, self.threshold, self.child, self.value,
              self.roots, self.depths, np.float32(self.base), found)  # fmt: skip
        if self.logistic:
            _squash(found)
        return found


def forest(booster: Any) -> Forest | None:
    """The forest of a booster that it answers like; None if it is none, or answers one of the probes differently."""
    made = _read(json.loads(booster.save_raw("json"))["learner"])
    if made is None:
        return None
    rows = _probes(made, booster.num_features())
    expected = booster.inplace_predict(rows, missing=np.nan, validate_features=False)
    same = np.array_equal(made.predict(rows).view(np.int32), np.asarray(expected, np.float32).view(np.int32))
    return made if same else None


def _read(learner: dict[str, Any]) -> Forest | None:
    objective, shape = learner["objective"]["name"], learner["learner_model_param"]
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree" or objective not in (*_IDENTITY, *_LOGISTIC):
        return None
    if int(shape["num_class"]) > 1 or int(shape.get("num_target", 1)) > 1:
        return None
    trees = [made for tree in booster["model"]["trees"] if (made := _tree(tree)) is not None]
    width = int(shape["num_feature"])
    if not 0 < len(trees) == len(booster["model"]["trees"]) or any(tree[0].max() >= width for tree in trees):
        return None
    starts = np.cumsum([0, *(len(tree[0]) for tree in trees)])
    base = float(np.float32(str(shape["base_score"]).strip("[]")))
    logistic = objective in _LOGISTIC
    return Forest(
        np.concatenate([tree[0] for tree in trees]),
        np.concatenate([tree[1] for tree in trees]),
        np.concatenate([tree[2] + 2 * start for tree, start in zip(trees, starts, strict=False)]).astype(np.uint32),
        np.concatenate([tree[3] for tree in trees]),
        starts[:-1].astype(np.uint32),
        np.array([tree[4] for tree in trees], np.int32),
        float(_margin(base)) if logistic else base,
        logistic,
        width,
    )


def _tree(tree: dict[str, Any]) -> tuple[Any, ...] | None:
    """Feature, threshold, child and value of nodes, level by level, and how many levels lead to the deepest leaf."""
    if any(tree["split_type"]) or int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        return None
    left, right = tree["left_children"], tree["right_children"]
    order, depth = [0], [0]
    for node, deep in zip(order, depth, strict=False):  # both grow while they are walked through
        if deep > _DEEPEST:
            return None
        if left[node] >= 0:
            order += [left[node], right[node]]
            depth += [deep + 1, deep + 1]
    place = {node: number for number, node in enumerate(order)}
    inner = [left[node] >= 0 for node in order]
    condition = np.array(tree["split_conditions"], np.float32)[order]
    feature = [tree["split_indices"][node] if has else 0 for node, has in zip(order, inner, strict=True)]
    child = [
        2 * place[left[node]] + 1 - int(tree["default_left"][node]) if has else 2 * place[node]
        for node, has in zip(order, inner, strict=True)
    ]
    return (
        np.array(feature, np.uint32),
        np.where(inner, condition, np.float32(np.nan)).astype(np.float32),
        np.array(child, np.int64),
        np.where(inner, np.float32(0), condition).astype(np.float32),
        max(depth),
    )


def _margin(probability: float) -> np.float32:
    one = np.float32(1)
    return np.float32(-np.log(one / np.float32(probability) - one))


def _probes(made: Forest, features: int) -> NDArray[np.float32]:
    """Rows of values at the thresholds, beside them, far off, and of gaps; seeded."""
    random = np.random.default_rng(len(made.feature))
    rows = random.normal(size=(_PROBES, features)).astype(np.float32)
    for feature in range(features):
        known = made.threshold[(made.feature == feature) & ~np.isnan(made.threshold)]
        if known.size:
            values = random.choice(known, _PROBES)
            rows[:, feature] = np.where(random.random(_PROBES) < 0.5, values, np.nextafter(values, np.float32(-np.inf)))
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


@numba.njit("void(f4[::1],u8,u4[::1],f4[::1],u4[::1],f4[::1],u4[::1],i4[::1],f4,f4[::1])", cache=True, nogil=True)
def _walk(
    cells: Any,
    width: Any,
    feature: Any,
    threshold: Any,
    child: Any,
    value: Any,
    roots: Any,
    depths: Any,
    base: Any,
    found: Any,
) -> None:
    """Write the sums of rows (`cells`, one row of `width` after the other). Unsigned: no index is checked."""
    zero, one, block = np.uint64(0), np.uint32(1), np.uint64(_BLOCK)
    at = np.empty(_BLOCK, np.uint32)
    rows = np.uint64(len(found))
    for start in range(zero, rows, block):
        count = min(block, rows - start)
        part, sums = cells[start * width : (start + count) * width], found[start : start + count]
        sums[:] = base
        for tree in range(len(roots)):
            for row in range(zero, count):
                at[row] = roots[tree]
            for _ in range(depths[tree]):
                for row in range(zero, count):
                    node = at[row]
                    x = part[row * width + feature[node]]
                    both = child[node]
                    right = (x >= threshold[node]) | ((x != x) & ((both & one) == one))
                    at[row] = (both >> one) + np.uint32(right)
            for row in range(zero, count):
                sums[row] += value[at[row]]


@numba.njit("void(f4[::1])", cache=True, nogil=True)
def _squash(values: Any) -> None:
    """The logistic function as XGBoost computes it, in float32."""
    one = np.float32(1)
    for row in range(len(values)):
        x = min(-values[row], np.float32(88.7))
        values[row] = one / (np.float32(math.exp(x)) + one)
