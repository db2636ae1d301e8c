"""What all tests share: properties are judged by truth, not by the clock of a busy machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("saima", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("saima")
