"""Opens a published bundle and makes it ready to answer: verified, golden requests answered, extractor warm."""

from __future__ import annotations

from pathlib import Path

from saima.features.caches.tables import Caches
from saima.features.extractor import Extractor
from saima.host.bundle import Bundle
from saima.host.eligibility import Eligibility
from saima.host.lease import Loaded
from saima.host.online import PatientOnline
from saima.host.remote import Remotes
from saima.host.request import Checker
from saima.host.tables import Tables
from saima.host.warming import warm_up
from saima.settings import Settings
from saima.stores import open_reader
from saima.stores.interfaces import BundleRow


class Loader:
    """Loads bundles over one online store that all of them read, through caches that all of them share."""

    def __init__(self, settings: Settings) -> None:
        self.online = PatientOnline(lambda: open_reader(settings))
        self.caches = Caches(self.online)
        self._remotes = Remotes(settings.remote_models)
        self._trusted = settings.trusted_keys

    def load(self, row: BundleRow) -> Loaded:
        """A published bundle, ready. Raises BundleError if it is tampered with, or fails golden or warm-up requests."""
        bundle = Bundle.open(Path(row.path), digest=row.digest or None, remotes=self._remotes, trusted=self._trusted)
        bundle.check_golden()
        declared = bundle.algorithm.declaration
        extractor = Extractor(bundle.algorithm, self.online, self.caches)
        parameters = {name: one.default for name, one in declared.parameters.items()}
        made = Loaded(
            bundle,
            extractor,
            Checker(declared.request),
            parameters,
            declared.journal,
            declared.top_k,
            Eligibility(declared.request),
            Tables(declared, self.online, self.caches) if declared.tables else None,
        )
        warm_up(made, bundle.manifest)
        return made

    def close(self) -> None:
        """Close the online store and the connections to remote models."""
        self.online.close()
        self._remotes.close()
