"""Garbage collections of a host: libraries stay out of them, so that a version that ends stops no answers.

A collection holds all threads up while it looks through the process's objects: 0.1 s with our own libraries, 0.4 s with
TensorFlow, some 5 ms for what versions hold. What is frozen is not looked through.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable

from saima.learning.trainers import import_library

_imported: set[str] = set()


def keep_libraries(kinds: Iterable[str]) -> None:
    """Import the libraries of kinds of models, and freeze all that is there if that brought a new one.

    To be called before versions of these kinds are loaded: what is frozen and hangs in circles stays for good. A
    version that was held before the first one of another kind came does so; there can be as many as there are kinds.
    """
    new = set(kinds) - _imported
    if new or not gc.get_freeze_count():
        for kind in sorted(new):
            import_library(kind)
        _imported.update(new)
        gc.collect()
        gc.freeze()
