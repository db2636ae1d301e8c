"""An algorithm's own Python, in a module namespace of its own: versions live side by side and go without a trace."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from saima.errors import BundleError, SaimaError
from saima.modules import Folder

if TYPE_CHECKING:
    from saima.host.channel import Channel

CODE = "algorithm.py"


class OwnCode:
    """What `algorithm.py` of a bundle defines.

    The folder is a package whose name carries the bundle's digest, so `from .helper import f` finds the file of the
    same bundle, whatever other bundles of the process call theirs. `preprocess(body[, channel])` gives the body that
    is answered, `postprocess(body, answer[, channel])` the answer that is sent; what they raise is a BundleError.
    """

    def __init__(self, directory: Path, digest: str) -> None:
        """Imports the code, if there is any. Raises BundleError naming the file."""
        self._folder = Folder(f"saima_bundle_{digest[:16]}", directory)
        self._path = directory / CODE
        self.module: ModuleType | None = None
        if self._path.is_file():
            try:
                self.module = self._folder.load(self._path.stem)
            except Exception as error:
                self.forget()
                raise BundleError(f"{self._path}: {type(error).__name__}: {error}") from error
        self.preprocess: Callable[[dict[str, Any], Channel], dict[str, Any]] | None = self._step("preprocess", 1)
        self.postprocess: Callable[[dict[str, Any], dict[str, Any], Channel], dict[str, Any]] | None = self._step(
            "postprocess", 2
        )

    def forget(self) -> None:
        """Let the modules go; what still runs of them ends first."""
        self._folder.forget()
        self.module = self.preprocess = self.postprocess = None

    def _step(self, name: str, given: int) -> Callable[..., dict[str, Any]] | None:
        """A function of the module as the host calls it: with the channel where it takes one, errors named."""
        function = getattr(self.module, name, None)
        if function is None:
            return None
        parameters = inspect.signature(function).parameters.values()
        takes = sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
        count, path = given + (takes > given), self._path

        def step(*arguments: Any) -> dict[str, Any]:
            try:
                made = function(*arguments[:count])
            except SaimaError:
                raise
            except Exception as error:
                raise BundleError(f"{path}: {name}: {type(error).__name__}: {error}") from error
            if not isinstance(made, dict):
                raise BundleError(f"{path}: {name} gave {type(made).__name__}; it must give a dictionary")
            return made

        return step
