"""When a lineage retrains, and how the retrain's one place is taken and its run is started.

`due` decides from facts alone. `start` takes the place in the registry by an exclusive claim and launches the run by
Dagster's GraphQL; the sensors and schedules take the same claim before they request a run. So at most one retrain of
a lineage is queued or running, whatever the trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from saima.errors import StoreError
from saima.features.declaration import Declaration, Lineage
from saima.features.durations import milliseconds
from saima.stores.interfaces import Claim, Registry

TAG_ALGORITHM = "saima/algorithm"
TAG_LINEAGE = "saima/lineage"
TAG_CLAIM = "saima/claim"
TAG_POSITION = "saima/position"
TAG_TRIGGER = "saima/trigger"

CLAIM_SECONDS = 120.0
"""A claim that no run has been bound to ends after this long: its starter died in between."""

LOCATION = "saima"
"""Name of the code location in `workspace.yaml`."""

KINDS = ("samples", "staleness")
"""Triggers that `due` looks for, by their facts."""

_REPOSITORY = "__repository__"
_BACKOFF_LIMIT = 600_000

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
    ... on PipelineNotFoundError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""


Launch = Callable[[str, dict[str, str]], str]
"""Starts a job by its name with the given tags and returns the run's id; raises LaunchError."""


class LaunchError(StoreError):
    """Dagster did not take the run; the claim has been given back."""


@dataclass(frozen=True)
class Facts:
    """What `due` decides from.

    samples: fact `samples/<algorithm>` (count, newest_label_time, newest_offset, newest_appended), None before the
    first live sample; trained: fact `trained/<algorithm>/<lineage>`, None before the first training; hold: why a
    person or a rollback stopped refreshes, None if nobody did; claimed: a retrain is queued or running;
    failures: failed retrains since the last one that ended well; attempts: retrains ever started; started: wall ms
    of the last start, 0 before the first.
    """

    samples: Mapping[str, Any] | None
    trained: Mapping[str, Any] | None
    hold: str | None = None
    claimed: bool = False
    failures: int = 0
    attempts: int = 0
    started: int = 0


@dataclass(frozen=True)
class Trigger:
    """Why a retrain starts: kind (`samples`, `staleness`, `schedule`, `manual`), the reason in words, the newest
    sample's offset, the number of samples that the model has not seen, and the number of this attempt."""

    kind: str
    reason: str
    position: int
    samples: int
    attempt: int


def due(facts: Facts, lineage: Lineage, now: int, kinds: Sequence[str] = KINDS) -> Trigger | None:
    """The reason to retrain at `now` (wall ms), or None. Level-triggered: it compares states, so no sample is missed.

    >>> retrain = Lineage(train=["m"])
    >>> new = Facts({"count": 1500, "newest_offset": 99, "newest_label_time": 0}, {"count": 400})
    >>> due(new, retrain, now=0).reason
    '1100 new samples, at least 1000 wanted'
    """
    if facts.hold is not None or facts.claimed or facts.samples is None:
        return None
    wait = milliseconds(lineage.retrain.interval) * 2**facts.failures
    if facts.started and now - facts.started < (min(wait, _BACKOFF_LIMIT) if facts.failures else wait):
        return None
    trained = facts.trained or {}
    new = int(facts.samples["count"]) - int(trained.get("count", 0))
    position = int(facts.samples["newest_offset"])
    if "samples" in kinds and new >= lineage.retrain.samples:
        reason = f"{new} new samples, at least {lineage.retrain.samples} wanted"
        return Trigger("samples", reason, position, new, facts.attempts)
    seen = trained.get("newest_label_time")
    if "staleness" in kinds and lineage.retrain.staleness and seen is not None and new > 0:
        age = int(facts.samples["newest_label_time"]) - int(seen)
        if age > milliseconds(lineage.retrain.staleness):
            limit = lineage.retrain.staleness
            reason = f"the newest label is {age / 3_600_000:.1f} h beyond the model's, at most {limit} wanted"
            return Trigger("staleness", reason, position, new, facts.attempts)
    return None


def scheduled(facts: Facts) -> Trigger:
    """The trigger of a schedule, which asks whether or not there are new samples."""
    samples, trained = facts.samples or {}, facts.trained or {}
    new = int(samples.get("count", 0)) - int(trained.get("count", 0))
    return Trigger("schedule", "its time has come", int(samples.get("newest_offset", 0)), new, facts.attempts)


def facts(registry: Registry, algorithm: str, lineage: str) -> Facts:
    """The facts of a lineage, as the registry has them now."""
    name = f"{algorithm}/{lineage}"
    claimed = any(claim.lineage == name for claim in registry.claims())  # read first: a run records, then releases
    marks = [mark for mark in registry.marks("retrain") if (mark["algorithm"], mark["lineage"]) == (algorithm, lineage)]
    failures = 0
    for mark in reversed(marks):
        if mark["outcome"] != "failed":
            break
        failures += 1
    trained = registry.fact(f"trained/{name}")
    started = max([int(mark["started"]) for mark in marks[-1:]] + [int((trained or {}).get("started", 0))])
    return Facts(
        samples=registry.fact(f"samples/{algorithm}"),
        trained=trained,
        hold=hold(registry.deployment().document, algorithm, lineage),
        claimed=claimed,
        failures=failures,
        attempts=len(marks),
        started=started,
    )


def hold(document: Mapping[str, Any], algorithm: str, lineage: str) -> str | None:
    """Why the lineage takes no refresh, in a deployment document; None if it does."""
    entry = document.get("algorithms", {}).get(algorithm, {}).get("lineages", {}).get(lineage, {})
    reason: str | None = entry.get("hold")
    return reason


def take(registry: Registry, algorithm: str, lineage: str, trigger: Trigger) -> Claim | None:
    """Take the lineage's retrain place; None if a retrain is queued or running, or the lineage is on hold."""
    claim = registry.claim(f"{algorithm}/{lineage}", trigger.position, trigger.kind, CLAIM_SECONDS)
    if claim is not None and hold(registry.deployment().document, algorithm, lineage) is not None:
        registry.release(claim.token)
        return None
    return claim


def take_due(
    registry: Registry, algorithm: str, name: str, lineage: Lineage, now: int, kinds: Sequence[str] = KINDS
) -> tuple[Trigger, Claim] | None:
    """Take the place of a lineage that is due; decided again under the claim, since a run may have ended meanwhile."""
    trigger = due(facts(registry, algorithm, name), lineage, now, kinds)
    claim = take(registry, algorithm, name, trigger) if trigger else None
    if claim is None:
        return None
    again = due(replace(facts(registry, algorithm, name), claimed=False), lineage, now, kinds)
    if again is None:
        registry.release(claim.token)
        return None
    return again, claim


def job(algorithm: str, lineage: str) -> str:
    """Name of the lineage's retrain job."""
    return f"{algorithm}_{lineage}_retrain"


def run_key(lineage: str, trigger: Trigger) -> str:
    """Identity of the run request: position and attempt, so that a tick evaluated twice starts one run."""
    return f"{lineage}-{trigger.position}-{trigger.attempt}"


def tags(algorithm: str, lineage: str, claim: Claim) -> dict[str, str]:
    """Tags of the run that holds a claim."""
    return {
        TAG_ALGORITHM: algorithm,
        TAG_LINEAGE: lineage,
        TAG_CLAIM: claim.token,
        TAG_POSITION: str(claim.position),
        TAG_TRIGGER: claim.trigger,
    }


def start(registry: Registry, algorithm: str, name: str, lineage: Lineage, now: int, launch: Launch) -> str | None:
    """Start the lineage's retrain if it is due and its place is free; its run id, or None.

    Where `launch` raises LaunchError, the claim is given back: a run that was launched all the same finds its claim
    ended and does nothing.
    """
    taken = take_due(registry, algorithm, name, lineage, now)
    if taken is None:
        return None
    claim = taken[1]
    try:
        run_id = launch(job(algorithm, name), tags(algorithm, name, claim))
    except LaunchError:
        registry.release(claim.token)
        raise
    registry.bind(claim.token, run_id)
    return run_id


def push(registry: Registry, declaration: Declaration, address: str, now: int) -> list[str]:
    """Start every retrain of an algorithm that is due, by the Dagster webserver at `address`; the run ids.

    Raises LaunchError if Dagster cannot be reached or refuses; nothing is lost, the sensors ask again.
    """
    launch = graphql(address)
    lineages = declaration.lineages.items()
    runs = [start(registry, declaration.algorithm, name, lineage, now, launch) for name, lineage in lineages]
    return [run for run in runs if run]


def graphql(address: str, timeout: float = 10.0) -> Launch:
    """A `launch` that asks the Dagster webserver at `address`, e.g. `http://127.0.0.1:3000`."""

    def launch(name: str, labels: dict[str, str]) -> str:
        selector = {"repositoryLocationName": LOCATION, "repositoryName": _REPOSITORY, "jobName": name}
        metadata = {"tags": [{"key": key, "value": value} for key, value in labels.items()]}
        params = {"selector": selector, "runConfigData": {}, "executionMetadata": metadata}
        try:
            answer = httpx.post(
                f"{address}/graphql", json={"query": _LAUNCH, "variables": {"params": params}}, timeout=timeout
            )
            answer.raise_for_status()
            result = answer.json()["data"]["launchRun"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise LaunchError(f"job {name} was not launched at {address}: {error!r}; the sensor asks again") from error
        if result["__typename"] != "LaunchRunSuccess":
            raise LaunchError(f"job {name} was refused at {address}: {result.get('message') or result}")
        return str(result["run"]["runId"])

    return launch
