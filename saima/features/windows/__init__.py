"""Windows over event streams: their definition, their state a key, and their reads, online and in batch."""

from saima.features.windows.definition import (
    MEASURES,
    Ask,
    Group,
    Window,
    WindowRead,
    default_hop,
    groups,
    reads,
    window,
)
from saima.features.windows.partial import WindowOverflow
from saima.features.windows.read import BehindHead, Reader

__all__ = [
    "MEASURES",
    "Ask",
    "BehindHead",
    "Group",
    "Reader",
    "Window",
    "WindowOverflow",
    "WindowRead",
    "default_hop",
    "groups",
    "reads",
    "window",
]
