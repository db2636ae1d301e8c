"""A batch through the kernel: its rows, the strings of the sessions that it touches, and what it leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from xxhash import xxh3_128_hexdigest

from saima.streams.linking import layout as at
from saima.streams.linking.intake import CLAIMED
from saima.streams.linking.kernel import expire, link
from saima.streams.linking.nodes import frame
from saima.streams.linking.sessions import Ints, Objects, Sessions


def session_id(key: str, time: int, identity: str) -> str:
    """Identity of the session that an event begins; equal wherever and whenever it is computed."""
    return xxh3_128_hexdigest(f"{len(key)}:{key}{time}:{identity}".encode("utf-8", "surrogatepass"))


class Batch:
    """The sessions at `slots` and, for the time of one call, their strings: refs count from those of the rows on.

    `begins` tells afterwards for which of them a row began a session.
    """

    def __init__(self, held: Sessions, slots: Ints, keys: pl.Series) -> None:
        self.keys = keys
        self.begins = np.zeros(len(slots), dtype=np.bool_)
        self._held = held
        self._slots = slots

    def link(self, read: pl.DataFrame, local: Ints, counts: Ints, flags: tuple[int, bool, bool]) -> pl.DataFrame:
        """Nodes that the rows of `Reader.read_batch` leave; `local` is each row's place in slots."""
        n = read.height
        rows = np.empty((n, at.ROW_WIDTH), dtype=np.int64)
        rows[:, at.SLOT], rows[:, at.LOCAL] = self._slots[local], local
        hashes = [f"{name}_hash" for name in CLAIMED.values()]
        for place, name in enumerate(("time", "seq", "op", "name_hash", "back", "claims", *hashes), at.TIME):
            rows[:, place] = read[name].to_numpy()
        refs = self._refs(n)
        was = refs[0].copy(), refs[1].copy()
        out = np.empty((at.PLACES * (n + len(self._slots)), at.OUT_WIDTH), dtype=np.int64)
        made = out[: link(self._held.rows, rows, *refs, out, counts, *flags)]
        names = _Strings(
            self._held.names, self._slots, [*(read[name] for name in ("name", *CLAIMED.values())), _NOTHING]
        )
        causes = _Strings(self._held.causes, self._slots, [read["id"]])
        held_rows = self._held.rows[self._slots]
        used = np.arange(at.PLACES) < held_rows[:, at.DEPTH, None]
        used[:, at.LEFT] = held_rows[:, at.WAITS] == 1
        nodes = frame(
            made,
            self.keys,
            self._sessions(read, made[:, at.O_SESSION], refs[2]),
            names.of(made[:, at.O_NAME]),
            causes.of(made[:, at.O_CAUSE]),
        )
        names.keep(refs[0], used & (refs[0] != was[0]))
        causes.keep(refs[1], used & (refs[1] != was[1]))
        return nodes

    def expire(self, counts: Ints, gap: int) -> pl.DataFrame:
        """Nodes of the sessions, which end at their last events."""
        out = np.empty((at.PLACES * len(self._slots), at.OUT_WIDTH), dtype=np.int64)
        made = out[: expire(self._held.rows, self._slots, *self._refs(0), out, counts, gap)]
        names = _Strings(self._held.names, self._slots, [_NOTHING])
        causes = _Strings(self._held.causes, self._slots, [])
        sessions = pl.Series(self._held.ids[self._slots[made[:, at.O_LOCAL]]].tolist(), dtype=pl.String)
        return frame(made, self.keys, sessions, names.of(made[:, at.O_NAME]), causes.of(made[:, at.O_CAUSE]))

    def _refs(self, n: int) -> tuple[Ints, Ints, Ints]:
        """Refs of the held strings, which stand behind those of the rows."""
        held = np.arange(len(self._slots) * at.PLACES).reshape(-1, at.PLACES)
        return held + 4 * n + 1, held + n, np.arange(n, n + len(self._slots))

    def _sessions(self, read: pl.DataFrame, refs: Ints, begun: Ints) -> pl.Series:
        """Session ids of the output rows; those that rows began are made, and held where they are open."""
        n = read.height
        self.begins = begun < n
        rows = np.unique(np.concatenate([refs[refs < n], begun[self.begins]]))
        texts = read.select("key", "time", "id")[rows].select(_EVENT).to_series().to_list()
        made = np.array([xxh3_128_hexdigest(text.encode()) for text in texts], dtype=object)
        ids = self._held.ids[self._slots]
        places = np.where(refs < n, np.searchsorted(rows, refs), refs - n + len(made))
        found = pl.Series(np.concatenate([made, ids])[places].tolist(), dtype=pl.String)
        ids[self.begins] = made[np.searchsorted(rows, begun[self.begins])]
        self._held.ids[self._slots] = ids
        return found


class _Strings:
    """Strings by ref: first those of a batch's rows, then those held of the sessions at `slots`."""

    def __init__(self, held: Objects, slots: Ints, of_rows: list[pl.Series]) -> None:
        self._held = held
        self._slots = slots
        self._rows = of_rows
        self._n = sum(map(len, of_rows))

    def of(self, refs: Ints) -> pl.Series:
        """The strings, in the order of refs."""
        old = refs >= self._n
        local, place = np.divmod(refs[old] - self._n, at.PLACES)
        strings = pl.Series(self._held[self._slots[local], place].tolist(), dtype=pl.String)
        places = refs.copy()
        places[old] = np.arange(self._n, self._n + len(strings))
        return pl.concat([*self._rows, strings]).gather(places)

    def keep(self, refs: Ints, fresh: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        """Hold the strings of nodes that were opened or moved."""
        local, place = np.nonzero(fresh)
        self._held[self._slots[local], place] = self.of(refs[local, place]).to_list()


_EVENT = pl.concat_str(pl.col("key").str.len_chars(), pl.lit(":"), "key", "time", pl.lit(":"), "id")
"""Text of the event that begins a session, as `session_id` has it."""

_NOTHING = pl.Series([""], dtype=pl.String)
"""The name of what was made up."""
