"""State of a matcher as bytes: one item a key, and one for the rules, the watermark and the counters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128_hexdigest

from saima.errors import StoreError
from saima.streams.engine import Change
from saima.streams.matching.packing import pack, unpack
from saima.streams.matching.rules import RuleSet, document

if TYPE_CHECKING:
    from saima.streams.matching.matcher import Matcher

META = "@"
"""Key of the item that holds the rules, the watermark and the counters."""

_LONGEST = 200


def item_key(fields: tuple[str, ...], key: str) -> str:
    """Name of a key's item; long keys are digested, the item itself holds them whole."""
    short = key if len(key) <= _LONGEST else xxh3_128_hexdigest(key.encode())
    return f"{','.join(fields)}\x1e{short}"


def changes(matcher: Matcher, *, clean: bool) -> list[Change]:
    """Items that changed; with `clean` they count as stored from now on."""
    found: list[Change] = []
    for fields, partition in matcher.partitions.items():
        for key in partition.dirty:
            keyed = partition.keys.get(key)
            found.append((item_key(fields, key), None if keyed is None else pack(keyed, fields)))
        if clean:
            partition.dirty.clear()
    found.append((META, _meta(matcher)))
    return found


def snapshot(matcher: Matcher) -> bytes:
    """All items in one."""
    items = {META: _meta(matcher)}
    for fields, partition in matcher.partitions.items():
        for key, keyed in partition.keys.items():
            items[item_key(fields, key)] = pack(keyed, fields)
    head = _json([[name, len(data)] for name, data in items.items()])
    return b"\n".join([head, b"".join(items.values())])  # JSON of ours has no line break


def items_of(packed: bytes) -> list[tuple[str, bytes]]:
    """The items of a snapshot."""
    head, _, data = packed.partition(b"\n")
    sizes = json.loads(head)
    ends = list(accumulate(size for _, size in sizes))
    return [(name, data[end - size : end]) for (name, size), end in zip(sizes, ends, strict=True)]


def load(matcher: Matcher, items: Iterable[tuple[str, bytes]]) -> None:
    """Take in items. Raises StoreError if one belongs to rules that are not among them."""
    found = dict(items)
    if META not in found:
        if found:
            raise StoreError("the matcher's state has keys but no rules: its '@' item is missing")
        return
    meta = json.loads(found.pop(META))
    rules = RuleSet.read(meta["rules"])
    draining = [RuleSet.read([one]).rules[one["id"]] for one in meta["draining"]]
    matcher.rules = rules
    matcher.watermark = meta["watermark"]
    matcher.counters.update({(rule, what): count for rule, what, count in meta["counters"]})
    matcher.adopt(rules, draining)
    known = {compiled.digest: compiled for compiled in (*draining, *rules.rules.values())}
    for packed in found.values():
        unpack(packed, matcher.partitions, known)


def _meta(matcher: Matcher) -> bytes:
    draining = [document(one.rule) for partition in matcher.partitions.values() for one in partition.draining]
    return _json(
        {
            "rules": matcher.rules.documents(),
            "draining": draining,
            "watermark": matcher.watermark,
            "counters": [[rule, what, count] for (rule, what), count in sorted(matcher.counters.items()) if count],
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).encode()
