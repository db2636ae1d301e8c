"""Holding an algorithm's calls against the algorithms beside it, before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saima.errors import BundleError, suggest
from saima.features.origins import read_declaration
from saima.routing.composition import circle

if TYPE_CHECKING:
    from saima.features.algorithm import Algorithm


def check_calls(algorithm: Algorithm) -> None:
    """Raise BundleError where a called algorithm has no folder beside this one's, or the calls make a circle."""
    folder = algorithm.directory.parent
    known = sorted(path.parent.name for path in folder.glob("*/algorithm.yaml"))
    calls = {algorithm.name: list(algorithm.declaration.calls)}
    waiting = [(algorithm.name, name) for name in calls[algorithm.name]]
    while waiting:
        caller, name = waiting.pop()
        if name in calls:
            continue
        if name not in known:
            raise BundleError(
                f"algorithms/{caller}/algorithm.yaml: calls '{name}', and there is no such algorithm"
                f"{suggest(name, known)}"
            )
        shown = f"algorithms/{name}/algorithm.yaml"
        declared, _ = read_declaration(folder / name / "algorithm.yaml", folder / "shared", shown)
        calls[name] = list(declared.calls)
        waiting += [(name, called) for called in declared.calls]
    found = circle(calls)
    if found:
        raise BundleError(f"algorithms call each other in a circle: {' -> '.join(found)}; take one of the calls away")
