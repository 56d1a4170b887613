"""The hosts of a truth in the shape the rules want: those alike in all but their names together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from healer.truth.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from healer.truth.limits import Limit
    from healer.truth.machines import Host
    from healer.truth.model import Truth


@dataclass(frozen=True, slots=True)
class Kind:
    """Hosts alike in all that the rules ask.

    Attributes:
        names: Who they are, sorted.
        team: Label of their alerts, or None.
        units: Units that have to be active.
        mounts: Mount points.
        disk_warning: Percent.
        disk_critical: Percent.
        memory_warning: Percent.
        restarts: So many restarts are no crash loop yet.
        restarts_window: Seconds in which they are counted.
        paths: Heartbeat files.
        probed: Whether `healer host` looks after files or logs on them.
    """

    names: tuple[str, ...]
    team: str | None
    units: tuple[str, ...]
    mounts: tuple[str, ...]
    disk_warning: float
    disk_critical: float
    memory_warning: float
    restarts: int
    restarts_window: float
    paths: tuple[str, ...]
    probed: bool


@dataclass(frozen=True, slots=True)
class Timed:
    """Heartbeat files of one timeout, in seconds, on hosts of one team."""

    names: tuple[str, ...]
    team: str | None
    paths: tuple[str, ...]
    timeout: float


@dataclass(frozen=True, slots=True)
class Logged:
    """Logs in which so many `errors` within `window` seconds are no warning, on hosts of one team."""

    names: tuple[str, ...]
    team: str | None
    logs: tuple[str, ...]
    errors: int
    window: float


_LABELS = ("host", "unit", "mountpoint", "path", "log", "probe", "target")
_VALUES = {
    "plain": "{{ $value }}",
    "decimal": '{{ $value | printf "%.1f" }}',
    "duration": "{{ $value | humanizeDuration }}",
}


def summary(limit: Limit) -> str:
    """Return an alert's summary as a Go template."""
    return _said(limit, limit.summary)


def description(limit: Limit) -> str:
    """Return an alert's description as a Go template."""
    return _said(limit, limit.description)


def _said(limit: Limit, sentence: str) -> str:
    return limit.say(
        sentence, {label: f"{{{{ $labels.{label} }}}}" for label in _LABELS}, _VALUES[limit.form]
    )


def host_rules(truth: Truth) -> dict[str, Any]:
    """Return what the template of the hosts' rules reads."""
    kinds = _kinds(truth)
    return {
        "limits": LIMITS,
        "hosts": [host.name for host in truth.hosts],
        "kinds": kinds,
        "probed": any(host.probe for host in truth.hosts),
        "mounted": [kind for kind in kinds if kind.mounts],
        "with_units": [kind for kind in kinds if kind.units],
        "with_files": [kind for kind in kinds if kind.paths],
        "timed": [
            Timed(names, host.team, tuple(file.path for file in files), timeout)
            for names, host in _alike(truth.hosts)
            for timeout, files in _grouped(host.files, lambda file: file.timeout)
        ],
        "logged": [
            Logged(names, host.team, tuple(log.name for log in logs), *bounds)
            for names, host in _alike(truth.hosts)
            for bounds, logs in _grouped(host.logs, lambda log: (log.errors, log.window))
        ],
    }


def _kinds(truth: Truth) -> list[Kind]:
    return [
        Kind(
            names,
            host.team,
            host.units,
            host.mounts,
            host.disk_warning,
            host.disk_critical,
            host.memory_warning,
            host.restarts,
            host.restarts_window,
            tuple(file.path for file in host.files),
            probed=bool(host.files or host.logs),
        )
        for names, host in _alike(truth.hosts)
    ]


def _alike(hosts: Iterable[Host]) -> list[tuple[tuple[str, ...], Host]]:
    """Return hosts that differ in name and addresses only: their names, and one that stands for them."""
    nameless = ((replace(host, name="", node_exporter="", probe=None), host.name) for host in hosts)
    return [
        (tuple(name for _, name in same), host) for host, same in _grouped(nameless, lambda pair: pair[0])
    ]


def _grouped(items: Iterable[Any], key: Callable[[Any], Any]) -> list[tuple[Any, list[Any]]]:
    ordered = sorted(items, key=lambda item: repr(key(item)))
    return [(found, list(same)) for found, same in groupby(ordered, key)]
