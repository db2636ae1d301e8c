"""Sessions of a shard's events: declared linkers, each behind a sorter of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from saima.errors import DeclarationError, suggest
from saima.events import Topic
from saima.stores.interfaces import OnlineRead
from saima.stores.shards import Share
from saima.streams.held import Change
from saima.worker.frames import SESSIONS

if TYPE_CHECKING:
    from saima.streams.linking import Linking
    from saima.worker.intake import Batch
    from saima.worker.linked import Linked


HELD = "sessions_held/"
"""Stands before a linker's name in the online table of events that wait for its watermark."""

_TAKEN = ("samples", "journal")


class Sessions:
    """Linkers by name, as `declared` reads them. Where none is declared nothing is held and nothing written."""

    def __init__(
        self,
        specs: Mapping[str, Linking],
        topics: Mapping[str, Topic],
        lateness: Mapping[str, int],
        idle: Mapping[str, int | None],
        share: Share,
    ) -> None:
        for name, spec in specs.items():
            for topic in spec.entries:
                if topic not in topics:
                    known = ", ".join(topics)
                    raise DeclarationError(
                        f"sessions '{name}': no source '{topic}'{suggest(topic, topics)}; there are {known}"
                    )
        self._linked: dict[str, Linked] = {}
        if specs:
            from saima.worker.linked import Linked  # its kernels take a second to import

            for name, spec in specs.items():
                own = {topic: topics[topic] for topic in spec.entries}
                self._linked[name] = Linked(name, spec, own, lateness, idle, share)

    def restore(self, read: OnlineRead) -> None:
        """Continue from what an earlier process committed."""
        for linked in self._linked.values():
            linked.restore(read)

    def process(self, batch: Batch) -> dict[str, pa.Table]:
        """Nodes that a batch lets out, by sink."""
        found = {f"{SESSIONS}{name}": linked.process(batch) for name, linked in self._linked.items()}
        return {sink: table for sink, table in found.items() if table is not None}

    def changes(self) -> list[Change]:
        """State changed since the last call."""
        return [change for linked in self._linked.values() for change in linked.changes()]

    def waits(self, silent: Mapping[str, int]) -> list[str]:
        """Topics whose silence (ms by topic), if it were recorded now, would let something out."""
        return [topic for linked in self._linked.values() for topic in linked.waits(silent)]

    def status(self) -> dict[str, Any]:
        """By linker: open sessions, watermark in ms, events that wait or came late, counters."""
        return {name: linked.status() for name, linked in self._linked.items()}


def declared(folder: Path) -> dict[str, Linking]:
    """Linkers of all algorithms under a folder, by name.

    Raises DeclarationError for a wrong one, and for a name that two algorithms give.
    """
    found: dict[str, Linking] = {}
    for directory in sorted(path.parent for path in folder.glob("*/sessions")):
        for name, linking in of_algorithm(directory).items():
            if name in found:
                where = f"{directory.name}/sessions/{name}.yaml"
                raise DeclarationError(f"{where}: another algorithm declares sessions '{name}'; rename one file")
            found[name] = linking
    return found


def of_algorithm(directory: Path) -> dict[str, Linking]:
    """Linkers of an algorithm's `sessions/<name>.yaml`, by name. Raises DeclarationError for a wrong one."""
    found: dict[str, Linking] = {}
    for path in sorted(directory.glob("sessions/*.yaml")):
        from saima.streams.linking import parse  # its kernels take a second to import

        where = f"{directory.name}/sessions/{path.name}"
        if path.stem in _TAKEN:
            raise DeclarationError(f"{where}: '{path.stem}' is a table of each algorithm; call the file otherwise")
        try:
            found[path.stem] = parse(yaml.safe_load(path.read_text()), where)
        except yaml.YAMLError as error:
            raise DeclarationError(f"{where} is no YAML: {error}") from error
    return found
