"""What all tests share: properties are judged by truth, not by the clock of a busy machine."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("saima", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saima")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests stay on one worker, in order, unless each stands apart."""
    for item in items:
        if item.get_closest_marker("apart") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
