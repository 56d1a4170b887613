"""When a host is unwell: each alert's threshold, severity and words, for the rules and for `healer check` alike."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Form = Literal["plain", "decimal", "duration"]
"""How a value is written in a description: as it is, with one decimal, or as a time from seconds."""


class Level(StrEnum):
    """How something is."""

    HEALTHY = "HEALTHY"
    UNKNOWN = "UNKNOWN"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """How bad it is: the larger the worse."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Limit:
    """One alert about hosts.

    Attributes:
        alert: Its name.
        level: What it says of what it is about.
        wait: Seconds that the rule waits before it fires.
        bound: The attribute of what the truth says (a host, heartbeat file or log, or a class of them) that a value
            may not exceed; None: the value may not be 0.
        summary: A sentence; `{label}` is the value of a label.
        description: Another; `{value}` is the value.
        form: How the value is written there.
    """

    alert: str
    level: Level
    wait: float
    bound: str | None
    summary: str
    description: str
    form: Form = "plain"

    @property
    def severity(self) -> str:
        """The label; that nothing is known is a warning."""
        return "critical" if self.level is Level.CRITICAL else "warning"

    @property
    def sign(self) -> str:
        """How a value that raises the alert compares with the threshold, in PromQL and in Python."""
        return "==" if self.bound is None else ">"

    def threshold(self, of: object) -> float:
        """Return what a value is compared with, as the truth has it for `of`."""
        return 0 if self.bound is None else float(getattr(of, self.bound))

    def broken(self, value: float, of: object) -> bool:
        """Return whether `value` raises the alert."""
        threshold = self.threshold(of)
        return value == threshold if self.bound is None else value > threshold

    def say(self, sentence: str, labels: Mapping[str, str], value: str = "") -> str:
        """Return `sentence`, the summary or the description, with each placeholder filled."""
        # A label that an alert does not have is empty, as in Prometheus' own templates.
        return sentence.format_map(_Filled({**labels, "value": value}))


class _Filled(dict[str, str]):
    def __missing__(self, _: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every alert about hosts."""

    unit_inactive: Limit = Limit(
        "HostUnitInactive",
        Level.CRITICAL,
        60,
        None,
        "Unit {unit} on {host} is not active.",
        "systemd on {host} has not had {unit} active for a minute.",
    )
    unit_crash_loop: Limit = Limit(
        "HostUnitCrashLoop",
        Level.WARNING,
        0,
        "restarts",
        "Unit {unit} on {host} keeps crashing.",
        "systemd has restarted {unit} on {host} {value} times lately.",
    )
    disk_filling: Limit = Limit(
        "HostDiskFilling",
        Level.WARNING,
        60,
        "disk_warning",
        "Disk {mountpoint} on {host} is filling up.",
        "{value} % of {mountpoint} on {host} is used.",
        "decimal",
    )
    disk_full: Limit = Limit(
        "HostDiskFull",
        Level.CRITICAL,
        60,
        "disk_critical",
        "Disk {mountpoint} on {host} is almost full.",
        "{value} % of {mountpoint} on {host} is used.",
        "decimal",
    )
    memory_high: Limit = Limit(
        "HostMemoryHigh",
        Level.WARNING,
        300,
        "memory_warning",
        "Memory of {host} is running out.",
        "{value} % of the memory of {host} is in use and cannot be freed.",
        "decimal",
    )
    file_missing: Limit = Limit(
        "HeartbeatFileMissing",
        Level.WARNING,
        60,
        None,
        "Heartbeat file {path} on {host} is missing.",
        "There is no file {path} on {host}.",
    )
    file_stale: Limit = Limit(
        "HeartbeatFileStale",
        Level.WARNING,
        0,
        "timeout",
        "Heartbeat file {path} on {host} is stale.",
        "{path} on {host} was last written {value} before it was looked at.",
        "duration",
    )
    log_errors: Limit = Limit(
        "HostLogErrors",
        Level.WARNING,
        0,
        "errors",
        "Errors in {log} on {host}.",
        "{value} errors were logged lately in {log} on {host}.",
    )
    probe_failed: Limit = Limit(
        "HostProbeFailed",
        Level.UNKNOWN,
        120,
        None,
        "{host} cannot be looked at.",
        "{probe} {target} on {host} gives no answer: what it would say is unknown, and its alerts stay as they are.",
    )

    @property
    def alerts(self) -> tuple[str, ...]:
        """The alerts' names."""
        return tuple(limit.alert for limit in self)

    def __iter__(self) -> Iterator[Limit]:
        """Iterate over them."""
        return (getattr(self, each.name) for each in fields(self))


LIMITS = Limits()
