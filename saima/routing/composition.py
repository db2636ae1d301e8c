"""Which algorithms call which: a graph without circles, or two lanes would wait for each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def circle(calls: Mapping[str, Collection[str]]) -> list[str]:
    """Algorithms that call each other in a circle, the first one again at the end; empty where there is none.

    >>> circle({"feed": ["eta", "price"], "eta": ["price"], "price": []})
    []
    >>> circle({"feed": ["eta"], "eta": ["price"], "price": ["eta"]})
    ['eta', 'price', 'eta']
    """
    done: set[str] = set()
    for start in sorted(calls):
        path: list[str] = []
        open_: list[list[str]] = [[start]]
        while open_:
            if not open_[-1]:
                open_.pop()
                if path:
                    done.add(path.pop())
                continue
            name = open_[-1].pop()
            if name in path:
                return [*path[path.index(name) :], name]
            if name in done:
                continue
            path.append(name)
            open_.append(sorted(calls.get(name, ()), reverse=True))
    return []
