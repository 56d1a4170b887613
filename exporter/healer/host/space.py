"""Measures disks and memory by the same definitions as the rules do."""

from __future__ import annotations

import psutil

from healer.host.tail import ProbeError

WHOLE = 100.0
"""Percent."""


def mounted() -> frozenset[str]:
    """Return where something is mounted.

    Raises:
        ProbeError: Nobody can tell.
    """
    try:
        return frozenset(partition.mountpoint for partition in psutil.disk_partitions(all=True))
    except (OSError, ValueError) as error:
        raise ProbeError(f"mounts: {_said(error)}") from None


def disk_used(path: str) -> float:
    """Return the percent used of what is mounted at `path`, as df computes it: what is reserved for root does not count.

    Raises:
        ProbeError: Nobody can tell.
    """
    try:
        usage = psutil.disk_usage(path)
    except (OSError, ValueError) as error:
        raise ProbeError(_said(error)) from None
    if not usage.used + usage.free:
        raise ProbeError("it has no space that could be used")
    # Its own `percent` is rounded: 90.04 would not be more than 90.
    return WHOLE * usage.used / (usage.used + usage.free)


def memory_used() -> float:
    """Return the percent of memory that is in use and cannot be freed.

    Raises:
        ProbeError: Nobody can tell.
    """
    try:
        memory = psutil.virtual_memory()
        return WHOLE * (1 - memory.available / memory.total)
    except (OSError, ValueError, KeyError, ZeroDivisionError) as error:
        raise ProbeError(f"meminfo: {_said(error)}") from None


def _said(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "not as expected").lower()
