"""From a checked question to an answer: route, extract, score, rank, and the record of it all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from saima.errors import BundleError
from saima.host.channel import Channel, Entry, LiveChannel
from saima.host.journal import Featured, Kept, numbers
from saima.host.lease import Loaded, Slot
from saima.host.request import Ask
from saima.routing.deployment import AlgorithmState
from saima.routing.experiments import Assignment, Eligible, Token
from saima.routing.layout import parameters_of

IDENTITY = ("trace", "attempt", "algorithm", "version", "lineage", "epoch", "experiment", "arm", "parameters",
            "tokens", "time", "degraded")  # fmt: skip
"""Fields of an answer that say which answer it is; no postprocessing changes them."""


@dataclass(frozen=True, slots=True)
class Routed:
    """What routing decided: the layer that names the lineage, all layers, the lineage and parameters that they want.

    tokens: what the caller sends again to stay in its arms.
    """

    main: Assignment | None
    layers: list[Assignment]
    lineage: str | None
    parameters: dict[str, Any]
    tokens: Sequence[Token] = ()

    @property
    def override(self) -> bool:
        """Whether somebody, not the hash, chose an arm."""
        return any(one.reason == "override" for one in self.layers)


@dataclass(frozen=True, slots=True)
class Result:
    """What one version computed: returned candidates (indexes, best first where ranked) and how long stages took."""

    features: Featured | None
    position: Mapping[int, int]
    positions: Sequence[int]
    rows: Mapping[str, Any]
    degraded: list[str]
    outputs: Mapping[str, np.ndarray]
    score: np.ndarray
    returned: list[int]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Made:
    """An answer as it is sent, the version that it is of, what it was made of, and what the channel was answered."""

    slot: Slot
    result: Result
    answer: dict[str, Any]
    channel: Sequence[Entry]


def route(state: AlgorithmState, ask: Ask, eligible: Eligible | None = None) -> Routed:
    """Arms of all layers; the first layer whose arm names a lineage decides it."""
    context = {**(ask.user or {}), **ask.request}
    compiled = state.layers
    layers = compiled.resolve(ask.unit_of, context, eligible, ask.tokens if compiled.tokens else ())
    armed = [one for one in layers if one.arm]
    parameters = parameters_of({one.layer: one.parameters for one in armed}, state.layout)
    naming = next((one for one in armed if one.lineage is not None), None)
    main = naming or (armed[0] if armed else layers[0] if layers else None)
    lineage = naming.lineage if naming else state.default_lineage
    return Routed(main, layers, lineage, parameters, compiled.tokens_of(layers) if compiled.tokens else [])


def compute(loaded: Loaded, ask: Ask, parameters: Mapping[str, Any], time: int, channel: Channel) -> Result:
    """Features and scores of a leased version at time q (ms UTC); its own preprocessing reads and asks `channel`."""
    started = perf_counter()
    body: dict[str, Any] = {"request": ask.request, "user": ask.user, "items": ask.items}
    if loaded.bundle.preprocess:
        body = loaded.bundle.preprocess(body, channel)
    found = loaded.extractor.extract(body["request"], body["user"], body["items"], time)
    extracted = perf_counter()
    scored = loaded.bundle.score(found, parameters)
    ended = perf_counter()
    degraded = list(found.degraded)
    if not np.isfinite(scored.score).all():
        degraded.append("score")
    return Result(
        found,
        found.position,
        found.positions,
        found.rows,
        degraded,
        scored.outputs,
        scored.score,
        rank(scored.score, loaded.top_k if ask.items else None),
        {"extract": extracted - started, "score": ended - extracted},
    )


def rank(score: np.ndarray, top_k: int | None) -> list[int]:
    """Indexes of the returned candidates: the best `top_k`, ties in given order; None: all in given order."""
    if top_k is None:
        return list(range(len(score)))
    worst_last = np.where(np.isnan(score), -np.inf, score)
    return [int(i) for i in np.argsort(-worst_last, kind="stable")[:top_k]]


def answer_of(
    ask: Ask,
    slot: Slot,
    epoch: int,
    routed: Routed,
    parameters: Mapping[str, Any],
    result: Result,
    time: int,
) -> dict[str, Any]:
    """What the caller gets, before the algorithm's own last step."""
    answer: dict[str, Any] = {
        "trace": ask.trace,
        "attempt": ask.attempt,
        "algorithm": ask.algorithm,
        "version": slot.publication,
        "lineage": slot.lineage,
        "epoch": epoch,
        "experiment": routed.main.experiment if routed.main else "",
        "arm": routed.main.arm if routed.main else "",
        "parameters": dict(parameters),
        "scores": numbers(result.score[result.returned]),
        "degraded": result.degraded,
        "time": time,
    }
    if routed.tokens:
        answer["tokens"] = [list(token) for token in routed.tokens]
    if ask.items:
        answer["items"] = [ask.items[i]["item_id"] for i in result.returned]
        if slot.loaded.top_k is not None:
            answer["top_k"] = slot.loaded.top_k
    return answer


def finish(loaded: Loaded, ask: Ask, answer: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The answer after the algorithm's own last step, if it has one; what the channel could not read is degraded.

    The step may change and add anything but what identifies the answer. Raises BundleError for what is not JSON.
    """
    if loaded.bundle.postprocess:
        body = {"request": ask.request, "user": ask.user, "items": ask.items}
        identity = {name: answer[name] for name in IDENTITY if name in answer}
        made = loaded.bundle.postprocess(body, answer, channel)
        try:
            answer = {**made, **identity}
            json.dumps(answer, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise BundleError(f"postprocess of '{ask.algorithm}' gave what is no JSON object: {error}") from error
    if isinstance(channel, LiveChannel) and channel.degraded:
        answer = {**answer, "degraded": list(dict.fromkeys([*answer["degraded"], *channel.degraded]))}
    return answer


def record_of(
    ask: Ask,
    answer: Mapping[str, Any],
    digest: str,
    routed: Routed,
    result: Result,
    kept: Kept,
    answered: int,
    shadow: bool = False,
    channel: Sequence[Entry] = (),
) -> dict[str, Any]:
    """The journal record without features and scores, and without the body where that is at hand as bytes.

    answered: the wall clock in ms. channel: what pre- and postprocessing read and were answered. Of a table that is
    read for candidates the versions are those of the kept ones, in their order. The drainer adds boot and number.
    """
    main = routed.main
    record: dict[str, Any] = {
        "trace": ask.trace,
        "attempt": ask.attempt,
        "algorithm": ask.algorithm,
        "version": answer["version"],
        "lineage": answer["lineage"],
        "digest": digest,
        "epoch": answer["epoch"],
        "experiment": answer["experiment"],
        "arm": answer["arm"],
        "unit": main.unit if main else (ask.unit or ask.trace),
        "propensity": main.propensity if main else 1.0,
        "reason": main.reason if main else "outside",
        "layers": [[one.layer, one.experiment, one.arm, one.propensity, one.reason, one.unit] for one in routed.layers],
        "parameters": answer["parameters"],
        "time": answer["time"],
        "answered": answered,
        "position": {str(partition): offset for partition, offset in result.position.items()},
        **({"positions": list(result.positions)} if result.positions else {}),
        "rows": {table: _of_kept(versions, kept.items) for table, versions in result.rows.items()},
        "kept": kept.items,
        "weights": kept.weights,
        "whole": kept.whole,
        "degraded": answer["degraded"],
        "shadow": shadow,
        "override": routed.override,
    }
    if ask.parts > 1:
        record |= {"part": ask.part, "parts": ask.parts}
    if ask.tokens:
        record["tokens"] = [list(token) for token in ask.tokens]
    if channel:
        record["channel"] = list(channel)
    if not ask.raw:
        record |= {"request": ask.request, "user": ask.user, "items": ask.items or []}
    return record


def _of_kept(versions: Sequence[Any], kept: Sequence[int]) -> Sequence[Any]:
    return versions if len(versions) == 1 else [versions[place] for place in kept]


def fallback(score: np.ndarray, kind: str) -> Result:
    """The answer of a fallback that computes no features, flagged degraded; every candidate in given order."""
    return Result(None, {}, [], {}, [f"fallback:{kind}"], {}, score, list(range(len(score))), {})
