"""Asking a loaded version once what it will be asked, so that no caller meets a first time."""

from __future__ import annotations

import logging
from typing import Any

from saima.errors import BundleError, SaimaError, StoreError
from saima.features.declaration import Request
from saima.features.extractor import Extractor
from saima.host import decide
from saima.host.channel import Channel
from saima.host.journal import Kept, snapshot, text_of
from saima.host.lease import Loaded, Slot
from saima.host.manifest import Manifest
from saima.host.recorded import RecordedChannel, WarmChannel
from saima.host.request import Ask

LOG = logging.getLogger("saima.host")
_BODY = ("request", "user", "items")
_SECONDS = 5.0
"""Most that a version spends on rows of items before it answers."""


def warm_up(loaded: Loaded, manifest: Manifest) -> None:
    """Answer the manifest's warm-up requests, or one that knows nothing, up to the bytes of its record.

    A request is a body with `time` and perhaps `channel`, the recorded entries that its pre- and postprocessing get;
    without them they find no row and every called algorithm scores 0. Nothing is journalled. Raises BundleError naming
    the request that cannot be answered.
    """
    for number, body in enumerate(manifest.warm_up or [empty(manifest.request)]):
        try:
            _answer(loaded, manifest, body)
        except (SaimaError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise BundleError(
                f"bundle {manifest.digest[:12]}: warm-up request {number} cannot be answered: "
                f"{type(error).__name__}: {error}"
            ) from error


def inherit(loaded: Loaded, other: Loaded) -> None:
    """Compute for a version, before it answers, the rows of the items that another one was asked for last.

    Without them its first requests compute them while others wait. What cannot be read now is left to the requests.
    """
    if isinstance(loaded.extractor, Extractor) and isinstance(other.extractor, Extractor):
        try:
            count = loaded.extractor.succeed(other.extractor, _SECONDS)
        except StoreError as error:
            LOG.warning("rows of items are not computed ahead: %s", error)
        else:
            LOG.debug("rows of %d items are computed ahead", count)


def empty(declared: Request) -> dict[str, Any]:
    """A request of which every field is unknown."""
    body: dict[str, Any] = {"request": dict.fromkeys(declared.fields), "user": dict.fromkeys(declared.user)}
    if declared.items:
        body["items"] = [{"item_id": "", **dict.fromkeys(declared.items.fields)}]
    return body


def _answer(loaded: Loaded, manifest: Manifest, body: dict[str, Any]) -> None:
    declared = loaded.bundle.algorithm.declaration
    time = int(body.get("time", manifest.trained_at))
    request, user, items = (body.get(part) for part in _BODY)
    ask = Ask(manifest.algorithm, "warm-up", 1, None, request or {}, user, items, time)
    channel: Channel = WarmChannel(declared, time)
    if "channel" in body:
        channel = RecordedChannel(declared, body["channel"])
    result = decide.compute(loaded, ask, loaded.parameters, time, channel)
    slot = Slot(manifest.algorithm, manifest.lineage, 0, manifest.digest)
    slot.fill(loaded)
    routed = decide.Routed(None, [], manifest.lineage, {})
    answer = decide.answer_of(ask, slot, 0, routed, loaded.parameters, result, time)
    answer = decide.finish(loaded, ask, answer, channel)
    kept = Kept(list(range(len(result.score))), [1.0] * len(result.score), True)
    record = decide.record_of(ask, answer, manifest.digest, routed, result, kept, time)
    text_of(snapshot(record, result.features, kept.items, result.score, result.outputs))
