"""What all tests share: properties are judged by truth, not by the clock of a busy machine."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("saima", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saima")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests stay on one worker, in order; the parts of a full count are shared among all."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "_in_full[" in nodeid else nodeid.split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """The scheduler of `pytest -n`."""
    return ByFile(config, log)
