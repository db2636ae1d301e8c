"""Opens a published bundle and makes it ready to answer: verified, golden requests answered, extractor warm."""

from __future__ import annotations

import logging
from pathlib import Path

from saima.errors import StoreError
from saima.features.extractor import Extractor
from saima.host.bundle import Bundle
from saima.host.eligibility import Eligibility
from saima.host.lease import Loaded
from saima.host.online import PatientOnline
from saima.host.request import Checker
from saima.settings import Settings
from saima.stores import open_online
from saima.stores.interfaces import BundleRow

LOG = logging.getLogger("saima.host")


class Loader:
    """Loads bundles over one online store that all of them read."""

    def __init__(self, settings: Settings) -> None:
        self._online = PatientOnline(lambda: open_online(0, settings))

    def load(self, row: BundleRow) -> Loaded:
        """A published bundle, ready. Raises BundleError if it is tampered with or fails its golden requests."""
        bundle = Bundle.open(Path(row.path), digest=row.digest or None)
        bundle.check_golden()
        declared = bundle.algorithm.declaration
        extractor = Extractor(bundle.algorithm, self._online)
        parameters = {name: one.default for name, one in declared.parameters.items()}
        for warm in bundle.manifest.warm_up:
            try:
                extractor.extract(warm.get("request", {}), warm.get("user"), warm.get("items"), warm["time"])
            except StoreError as error:
                LOG.info("warmed without the online store: %s", error)
        return Loaded(
            bundle,
            extractor,
            Checker(declared.request),
            parameters,
            declared.journal,
            declared.top_k,
            Eligibility(declared.request),
        )

    def close(self) -> None:
        """Close the online store."""
        self._online.close()
