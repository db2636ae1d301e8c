"""Windows over event streams: their definition, their state a key, and their reads, online and in batch."""

from saima.features.windows.definition import (
    MEASURES,
    Ask,
    Group,
    Window,
    WindowRead,
    default_hop,
    window,
)
from saima.features.windows.grouping import groups, reads
from saima.features.windows.measure import WindowOverflow
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
