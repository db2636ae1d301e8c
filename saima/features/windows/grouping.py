"""Groups: which aggregates of a declaration share one state, and what each may read of it."""

from __future__ import annotations

from collections.abc import Iterable

from saima.errors import DeclarationError, suggest
from saima.features.declaration import Aggregate, Declaration
from saima.features.durations import milliseconds
from saima.features.syntax import ExpressionError
from saima.features.windows.canonical import canonical
from saima.features.windows.definition import (
    ADDITIVE,
    FLOATS,
    MEASURES,
    NUMERIC,
    Ask,
    Group,
    Window,
    WindowRead,
    percent,
    window,
)

LEAST_DISTINCT, LEAST_QUANTILE = 0.0021, 0.000001
"""The smallest errors that sketches can be declared with."""


def chains(hops: Iterable[int]) -> list[tuple[int, ...]]:
    """Hops parted into chains in which each divides the next.

    >>> chains([60, 5, 7])
    [(5, 60), (7,)]
    """
    result: list[list[int]] = []
    for hop in sorted(set(hops)):
        for chain in result:
            if hop % chain[-1] == 0:
                chain.append(hop)
                break
        else:
            result.append([hop])
    return [tuple(chain) for chain in result]


def check(name: str, aggregate: Aggregate, dtype: str | None) -> None:
    """Refuse a measure that is unknown, that its value's type does not allow, or that would not be exact."""
    where = f"aggregates.{name}"
    for measure in aggregate.measures:
        sketch = measure == "approx_distinct" or percent(measure) is not None
        if measure not in MEASURES and not sketch:
            raise DeclarationError(f"{where}: unknown measure '{measure}'{suggest(measure, MEASURES)}")
        if dtype is None and measure != "count":
            raise DeclarationError(f"{where}: measure '{measure}' needs a value; name a field of '{aggregate.source}'")
        if (measure in NUMERIC or percent(measure) is not None) and dtype == "string":
            raise DeclarationError(f"{where}: measure '{measure}' needs a number, '{aggregate.value}' is a string")
        if measure in ADDITIVE and dtype in FLOATS and aggregate.exact:
            raise DeclarationError(
                f"{where}: a {measure} of {dtype} is not exact; write 'exact: false' or use an int64 or decimal value"
            )
        if sketch:
            _check_error(where, measure, aggregate.error, dtype)


def _check_error(where: str, measure: str, error: float | None, dtype: str | None) -> None:
    if error is None:
        raise DeclarationError(f"{where}: '{measure}' is approximate; declare its error, such as 'error: 0.01'")
    if measure == "approx_distinct" and dtype in FLOATS:
        raise DeclarationError(f"{where}: '{measure}' hashes its values, and floats are not hashed; use 'distinct'")
    least = LEAST_DISTINCT if measure == "approx_distinct" else LEAST_QUANTILE
    if not least <= error <= 0.5:
        raise DeclarationError(f"{where}: the error of '{measure}' lies between {least} and 0.5, not {error:g}")


def reads(declaration: Declaration) -> list[WindowRead]:
    """What the aggregates of a declaration can read, over the groups that they share.

    Raises DeclarationError for a measure, window or field that cannot be.
    """
    names = list(declaration.aggregates)
    parsed = {name: _windows(name, declaration.aggregates[name]) for name in names}
    families: dict[tuple[object, ...], list[str]] = {}
    for name in names:
        families.setdefault(_family(declaration.aggregates[name]), []).append(name)
    result = []
    for members in families.values():
        groups = _groups(declaration, members, parsed)
        for name in members:
            aggregate = declaration.aggregates[name]
            for group in groups:
                asks = tuple(
                    Ask(f"{name}.{measure}_{w.text}", measure, w, aggregate.k)
                    for w in parsed[name] if any((w.width, w.hop) == (o.width, o.hop) for o in group.windows)
                    for measure in aggregate.measures
                )  # fmt: skip
                if asks:
                    result.append(WindowRead(name, group, aggregate.exact, asks))
    return result


def groups(declaration: Declaration) -> list[Group]:
    """The distinct groups behind the aggregates of a declaration, ordered by table name."""
    found = {read.group.table: read.group for read in reads(declaration)}
    return [found[table] for table in sorted(found)]


def streamed(declaration: Declaration) -> list[Group]:
    """Those of them that the stream computes."""
    return [group for group in groups(declaration) if group.streamed]


def _windows(name: str, aggregate: Aggregate) -> list[Window]:
    try:
        return [window(text, aggregate.hop) for text in aggregate.windows]
    except ValueError as error:
        raise DeclarationError(f"aggregates.{name}: {error}") from error


def _family(aggregate: Aggregate) -> tuple[object, ...]:
    return aggregate.source, _key(aggregate), aggregate.value, _where(aggregate), aggregate.tier == "batch"


def _where(aggregate: Aggregate) -> str | None:
    """The condition in canonical form; one that cannot be read is refused where it is compiled."""
    text = (aggregate.where or "").strip()
    try:
        return canonical(text) if text else None
    except ExpressionError:
        return text


def _key(aggregate: Aggregate) -> tuple[str, ...]:
    return (aggregate.key,) if isinstance(aggregate.key, str) else tuple(sorted(aggregate.key))


def _groups(declaration: Declaration, members: list[str], parsed: dict[str, list[Window]]) -> list[Group]:
    aggregates = [declaration.aggregates[name] for name in members]
    first = aggregates[0]
    source = declaration.sources.get(first.source)
    if source is None:
        raise DeclarationError(
            f"aggregates.{members[0]}: unknown source '{first.source}'{suggest(first.source, declaration.sources)}"
        )
    for name in [*_key(first), *([first.value] if first.value else [])]:
        if name not in source.fields:
            raise DeclarationError(
                f"aggregates.{members[0]}: '{first.source}' has no field '{name}'{suggest(name, source.fields)}"
            )
    dtype = source.fields[first.value] if first.value else None
    for name, aggregate in zip(members, aggregates, strict=True):
        check(name, aggregate, dtype)
    distinct = {(w.width, w.hop): w for name in members for w in parsed[name]}
    ordered = [Window("", *pair) for pair in sorted(distinct)]
    parts = chains(w.hop for w in ordered if w.hop) or [()]
    return [
        Group(
            source=first.source,
            key=_key(first),
            value=first.value,
            dtype=dtype,
            where=_where(first),
            windows=tuple(w for w in ordered if w.hop in chain or (w.hop == 0 and place == 0)),
            measures=frozenset(m for a in aggregates for m in a.measures),
            k=max(a.k for a in aggregates),
            lateness=milliseconds(source.lateness),
            error=min((a.error for a in aggregates if a.error is not None), default=None),
            streamed=first.tier != "batch",
        )
        for place, chain in enumerate(parts)
    ]
