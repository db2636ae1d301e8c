"""What all tests share: properties are judged by truth, not by the clock of a busy machine."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from saima.settings import settings as process_settings

settings.register_profile("saima", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saima")


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """No test leaves its settings behind: the process reads them once."""
    yield
    process_settings.cache_clear()


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests stay on one worker, in order; the parts of a full count are shared among all."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "_in_full[" in nodeid else nodeid.split("::", 1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """The scheduler of `pytest -n`."""
    return ByFile(config, log)
