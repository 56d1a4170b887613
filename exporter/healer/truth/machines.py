"""What the truth says of hosts: the machines whose health is watched beside the heartbeats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeartbeatFile:
    """A file that a program touches for as long as it makes progress.

    Attributes:
        path: Absolute.
        timeout: Seconds since its last change after which it is stale.
    """

    path: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Log:
    """A log in which errors are counted.

    Attributes:
        name: The `log` label: the unit, or the path.
        unit: Whose journal it is, or None for a file.
        path: The file, absolute, or None for a journal.
        pattern: The regular expression (Python's) that a line of the file with an error matches; of a journal,
            entries of priority err and above count.
        errors: How many within `window` are still no warning.
        window: Seconds.
    """

    name: str
    unit: str | None
    path: str | None
    pattern: str
    errors: int
    window: float


@dataclass(frozen=True, slots=True)
class Host:
    """One machine.

    Attributes:
        name: The `host` label; unique in a truth.
        node_exporter: `address:port` of its node_exporter.
        probe: `address:port` of its `healer host`, or None where no file or log of it is watched.
        units: The systemd units that have to be active, sorted.
        mounts: The mount points whose space is watched, sorted.
        disk_warning: Percent of a mount used, as df computes it, above which people are warned.
        disk_critical: Percent above which it is critical.
        memory_warning: Percent of memory in use, what can be freed not counted.
        restarts: How many restarts of a unit by systemd within `restarts_window` are no crash loop yet.
        restarts_window: Seconds.
        files: Its heartbeat files, sorted by path.
        logs: The logs in which errors are counted, sorted by name.
        team: Label of its alerts, or None.
    """

    name: str
    node_exporter: str
    probe: str | None = None
    units: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ("/",)
    disk_warning: float = 80.0
    disk_critical: float = 90.0
    memory_warning: float = 90.0
    restarts: int = 5
    restarts_window: float = 3600.0
    files: tuple[HeartbeatFile, ...] = ()
    logs: tuple[Log, ...] = ()
    team: str | None = None
