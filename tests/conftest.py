"""What all tests share: properties are judged by truth, not by the clock of a busy machine."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from saima.settings import settings as process_settings

_SLOW = [HealthCheck.too_slow]
settings.register_profile("full", deadline=None, suppress_health_check=_SLOW)
settings.register_profile("sample", deadline=None, suppress_health_check=_SLOW, max_examples=40)


def sampled(config: pytest.Config) -> bool:
    """Whether full counts are left out."""
    return "not full" in (config.option.markexpr or "")


def pytest_configure(config: pytest.Config) -> None:
    """Properties take fewer examples where full counts are left out; before the tests are imported, which ask then."""
    settings.load_profile("sample" if sampled(config) else "full")


@pytest.fixture(scope="session")
def sample(pytestconfig: pytest.Config) -> bool:
    """Whether a test that tries everything in every way may try some of it in one way each."""
    return sampled(pytestconfig)


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
