"""The specification of linking as a small program: one tree of dictionaries a key, nothing clever."""

from __future__ import annotations

from typing import Any

import xxhash

from saima.events import Event
from saima.streams.linking import LEVELS, Linking, Node

M = 2**64


def path_hash(parent: int, level: int, name: str) -> int:
    x = (parent * 0x9E3779B97F4A7C15 + level) % M
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % M
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % M
    x = ((x ^ (x >> 31)) + xxhash.xxh3_64_intdigest(name.encode())) % M
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % M
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % M
    x ^= x >> 31
    return x - M if x >= M // 2 else x


def text(value: Any) -> str | None:
    if value is None or isinstance(value, (float, list, dict)):
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


class Naive:
    """process and advance as the contract says; `counts` by reason."""

    def __init__(self, spec: Linking) -> None:
        self.spec = spec
        self.sessions: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}
        self.watermark = -(2**62)

    def process(self, event: Event) -> list[Node]:
        entry = self.spec.entries.get(event.type)
        if entry is None:
            return self.count("ignored")
        name = text(event.payload.get(entry.name)) if entry.name else event.type
        if name is None:
            return self.count("unnamed")
        if event.time < self.watermark:
            return self.count("late")
        out: list[Node] = []
        session = self.sessions.get(event.key)
        if session and event.time > session["last"][0] + self.spec.gap:
            self.count("timeouts")
            self.known = session["last"][0] + self.spec.gap
            self.close(event.key, 0, session["last"][0], out)
            session = None
        self.known = event.time
        if session and (event.time, event.seq) < session["last"]:
            self.count("disordered")
            return out
        open_ = session["open"] if session else []
        level = LEVELS.index(entry.level)
        names = {LEVELS.index(above): text(event.payload.get(field)) for above, field in entry.within.items()}
        if entry.does == "leave":
            if level >= len(open_) or (entry.name and level and open_[level]["name"] != name):
                self.count("orphan_" + LEVELS[min(level, len(open_))])
                return out
            session["last"] = (event.time, event.seq)
            self.close(event.key, level, event.time, out)
            return out
        missing = next(
            (
                above
                for above in range(level)
                if above >= len(open_) or (names.get(above) is not None and names[above] != open_[above]["name"])
            ),
            level,
        )
        first = 0 if self.spec.declared_sessions else 1
        if missing < level and not self.spec.lenient and not (not open_ and level == first):
            self.count("orphan_" + LEVELS[max(missing, first)])
            return out
        if session:
            self.close(event.key, missing, event.time, out)
        session = self.sessions.get(event.key)
        for above in range(len(session["open"]) if session else 0, level):
            made_up = above > 0 or self.spec.declared_sessions
            if made_up:
                self.count("synthesised")
            self.open(event, above, names.get(above) or "", "synthesised" if made_up else "entered", None, out)
        told = event.payload.get(entry.back) if entry.back else None
        self.open(event, level, name, "entered", told if isinstance(told, bool) else None, out)
        self.sessions[event.key]["last"] = (event.time, event.seq)
        return out

    def advance(self, watermark: int) -> list[Node]:
        self.watermark = max(self.watermark, watermark)
        out: list[Node] = []
        for key, session in sorted(self.sessions.items(), key=lambda item: (item[1]["last"][0], item[0])):
            if session["last"][0] + self.spec.gap < self.watermark:
                self.count("timeouts")
                self.known = session["last"][0] + self.spec.gap
                self.close(key, 0, session["last"][0], out)
        return out

    def count(self, reason: str) -> list[Node]:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        return []

    def open(self, event: Event, level: int, name: str, kind: str, told: bool | None, out: list[Node]) -> None:
        if level == 0:
            text = f"{len(event.key)}:{event.key}{event.time}:{event.id}"
            identity = xxhash.xxh3_128_hexdigest(text.encode())
            self.sessions[event.key] = {"id": identity, "open": [], "trail": [], "left": None, "count": 0}
        session = self.sessions[event.key]
        parent = session["open"][-1] if session["open"] else None
        node = {
            "number": session["count"],
            "parent": parent["number"] if parent else None,
            "level": level,
            "name": name,
            "entered": event.time,
            "cause": event.id,
            "kind": kind,
            "hash": path_hash(parent["hash"], level, name) if parent else 0,
            "source": None,
            "causing": None,
        }
        session["count"] += 1
        if level == 4:
            if self.spec.entries[event.type].causes:
                parent["causing"] = node["number"]
            self.write(event.key, node, event.time, None, out)
            return
        if level == 3:
            if session["left"]:
                left, at = session["left"]
                node["source"] = left["causing"]
                self.write(event.key, left, at, node["number"], out)
                session["left"] = None
            trail = session["trail"]
            back = told if told is not None else len(trail) > 1 and trail[-2] == node["hash"]
            if back and node["hash"] in trail[:-1]:
                last = max(place for place, known in enumerate(trail[:-1]) if known == node["hash"])
                del trail[last + 1 :]
            elif back or not trail or trail[-1] != node["hash"]:
                trail.append(node["hash"])
                del trail[:-8]
            if back and kind == "entered":
                node["kind"] = "back"
        session["open"].append(node)

    def close(self, key: str, level: int, time: int, out: list[Node]) -> None:
        session = self.sessions[key]
        while len(session["open"]) > level:
            node = session["open"].pop()
            if node["level"] == 3:
                session["left"] = (node, time)
                continue
            if node["level"] == 0 and session["left"]:
                left, at = session["left"]
                self.write(key, left, at, None, out)
            self.write(key, node, time, None, out)
        if level == 0:
            del self.sessions[key]

    def write(self, key: str, node: dict[str, Any], left: int, target: int | None, out: list[Node]) -> None:
        self.count("nodes")
        session = self.sessions[key]["id"]

        def identity(number: int | None) -> str | None:
            return None if number is None else f"{session}-{number}"

        out.append(
            Node(
                session,
                f"{session}-{node['number']}",
                identity(node["parent"]),
                LEVELS[node["level"]],
                key,
                node["name"],
                node["entered"],
                left,
                identity(node["source"]),
                node["cause"],
                node["kind"],
                node["hash"],
                () if target is None else (f"{session}-{target}",),
                self.known,
            )
        )
