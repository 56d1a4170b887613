"""The user's own hosts, taken through all that can go wrong with them: what `promtool test rules` replays.

All hosts live through two stories together. In the one, everything gets bad, unknown, worse, and well again; in the
other, units restart and logs fill with errors, and whoever counts them has to forget them in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from healer.bundle.scenarios import STALE, Check, Scenario, Series, notation
from healer.bundle.text import quoted
from healer.truth.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from healer.truth.machines import Host
    from healer.truth.model import Truth

MINUTE = 60.0
"""Seconds between evaluations, and between the samples of the first story."""

SHORT, MIDDLE, LONGEST = 60.0, 600.0, 7200.0
"""Windows, in seconds, up to `MIDDLE` are tested with samples every 2 s, those up to `LONGEST` every minute.

Others are left out: shorter ones hold too few samples to count by, and a day takes promtool too long to live through.
"""
PAUSE = 600.0
"""Seconds between the evaluations of what is counted: so few that a window of an hour costs little."""

WHOLE = 100.0
UNIT_INACTIVE, CRASH_LOOP = LIMITS.unit_inactive.alert, LIMITS.unit_crash_loop.alert
FILLING, FULL, MEMORY = LIMITS.disk_filling.alert, LIMITS.disk_full.alert, LIMITS.memory_high.alert
MISSING, STALE_FILE = LIMITS.file_missing.alert, LIMITS.file_stale.alert
LOG_ERRORS, FAILED = LIMITS.log_errors.alert, LIMITS.probe_failed.alert
SEVERITY = {limit.alert: limit.severity for limit in LIMITS}


@dataclass(frozen=True, slots=True)
class Phase:
    """How a host is for a number of minutes.

    Attributes:
        minutes: How many.
        disk: Percent of each mount that is used.
        memory: Percent that is used.
        active: Whether the units are; None: systemd does not know them.
        there: Whether the heartbeat files are.
        late: By how many seconds they are older than they may be; below 0 they are fresh.
        seen: Whether anybody can look at the host.
        denied: Nobody can look at its parts, though at it.
        firing: The alerts that are there by the end of it.
    """

    minutes: int
    disk: Callable[[Host], float]
    memory: Callable[[Host], float]
    active: bool | None = True
    there: bool = True
    late: float = 0.0
    seen: bool = True
    denied: bool = False
    firing: frozenset[str] = frozenset()


def _as_far_as_allowed(bound: float) -> float:
    return round(bound * 0.99, 9)


def _beyond(bound: float, upto: float = WHOLE) -> float:
    return (bound + upto) / 2


def _left(used: float) -> float:
    return round(WHOLE - used, 9)


_WORSE = frozenset({UNIT_INACTIVE, FILLING, FULL, MEMORY, STALE_FILE})
PHASES = (
    Phase(8, lambda host: _as_far_as_allowed(host.disk_warning), lambda host: _as_far_as_allowed(host.memory_warning)),
    Phase(
        8,
        lambda host: _beyond(host.disk_warning, host.disk_critical),
        lambda host: _beyond(host.memory_warning),
        active=False,
        there=False,
        firing=frozenset({UNIT_INACTIVE, FILLING, MEMORY, MISSING}),
    ),
    Phase(
        8,
        lambda _: 0.0,
        lambda _: 0.0,
        seen=False,
        firing=frozenset({UNIT_INACTIVE, FILLING, MEMORY, MISSING, FAILED}),
    ),
    Phase(
        4,
        lambda host: _beyond(host.disk_critical),
        lambda host: _beyond(host.memory_warning),
        active=None,
        late=1.0,
        firing=_WORSE,
    ),
    Phase(4, lambda _: 0.0, lambda _: 0.0, denied=True, firing=_WORSE | {FAILED}),
    Phase(4, lambda host: _as_far_as_allowed(host.disk_warning), lambda _: 0.0, late=-1.0),
)  # fmt: skip
"""The first story."""


def endured(truth: Truth) -> tuple[Scenario, ...]:
    """Return the first story of all hosts, if there are any."""
    return (_bad_and_well(truth.hosts),) if truth.hosts else ()


def counted(truth: Truth) -> tuple[Scenario, ...]:
    """Return the second, of short windows and of long ones, as far as there are any."""
    kinds = ((2.0, SHORT, MIDDLE), (MINUTE, MIDDLE, LONGEST))
    return tuple(story for kind in kinds for story in _counted(truth.hosts, *kind))


def uncounted(truth: Truth) -> int:
    """Return how many windows, of units and logs, are left out for their length."""
    return sum(not SHORT <= tally.window <= LONGEST for host in truth.hosts for tally in _tallies(host))


@dataclass(slots=True)
class _Columns:
    """Samples of many series, one of each at a time; who gets none is stale from then on."""

    found: dict[str, list[float | str | None]] = field(default_factory=dict)
    length: int = 0

    def add(self, samples: Iterable[tuple[str, float]]) -> None:
        for name, value in samples:
            self.found.setdefault(name, [None] * self.length).append(value)
        self.length += 1
        for column in self.found.values():
            if len(column) < self.length:
                column.append(None if column[-1] in (None, STALE) else STALE)

    def series(self) -> tuple[Series, ...]:
        return tuple(Series(name, notation(values)) for name, values in self.found.items())


def _bad_and_well(hosts: tuple[Host, ...]) -> Scenario:
    columns, checks = _Columns(), []
    for phase in PHASES:
        for _ in range(phase.minutes):
            now = columns.length * MINUTE
            columns.add(sample for host in hosts for sample in _shown(host, phase, now))
        at = (columns.length - 1) * MINUTE
        for name in SEVERITY:
            firing = [labels for host in hosts for labels in _subjects(name, host, phase)]
            checks.append(_check(at, name, firing if name in phase.firing else []))
    name = "as bad as allowed, bad, out of sight, worse, hidden in part, and well again"
    return Scenario(name, MINUTE, columns.series(), tuple(checks))


def _shown(host: Host, phase: Phase, now: float) -> Iterator[tuple[str, float]]:
    """Give what is scraped of a host at an instant."""
    node = {"host": host.name, "instance": host.node_exporter, "job": "node"}
    yield _series("up", node), float(phase.seen)
    if phase.seen:
        yield from _of_node(host, phase, node)
    if host.probe:
        probe = {"host": host.name, "instance": host.probe, "job": "host"}
        yield _series("up", probe), float(phase.seen)
        if phase.seen:
            yield from _of_probe(host, phase, probe, now)


def _of_node(host: Host, phase: Phase, node: dict[str, str]) -> Iterator[tuple[str, float]]:
    for collector in ("filesystem", "meminfo", *(["systemd"] if host.units else [])):
        success = float(collector == "filesystem" or not phase.denied)
        yield _series("node_scrape_collector_success", {**node, "collector": collector}), success
    if phase.denied:
        return
    for mount in host.mounts:
        free, mounted = _left(phase.disk(host)), {**node, "mountpoint": mount}
        # A tenth is reserved for root.
        yield _series("node_filesystem_size_bytes", mounted), WHOLE + 10
        yield _series("node_filesystem_free_bytes", mounted), free + 10
        yield _series("node_filesystem_avail_bytes", mounted), free
    yield _series("node_memory_MemTotal_bytes", node), WHOLE
    yield _series("node_memory_MemAvailable_bytes", node), _left(phase.memory(host))
    for unit in host.units:
        for state, now_so in (("active", phase.active), ("failed", not phase.active)):
            if phase.active is not None:
                labels = {**node, "name": unit, "state": state}
                yield _series("node_systemd_unit_state", labels), float(bool(now_so))


def _of_probe(host: Host, phase: Phase, probe: dict[str, str], now: float) -> Iterator[tuple[str, float]]:
    targets = [("heartbeat_file", file.path) for file in host.files] + [
        ("log", log.name) for log in host.logs
    ]
    for kind, target in targets:
        yield (
            _series("host_probe_success", {**probe, "probe": kind, "target": target}),
            float(not phase.denied),
        )
    for file in () if phase.denied else host.files:
        labels = {**probe, "path": file.path}
        yield _series("host_heartbeat_file_present", labels), float(phase.there)
        if phase.there:
            yield (
                _series("host_heartbeat_file_modified_timestamp_seconds", labels),
                now if phase.late < 0 else now - file.timeout - phase.late,
            )


def _subjects(alert: str, host: Host, phase: Phase) -> list[str]:
    """Return the label sets of `alert` that fire if all of what it is about on the host does."""
    found: dict[str, list[dict[str, str]]] = {
        UNIT_INACTIVE: [{"unit": unit} for unit in host.units],
        FILLING: [{"mountpoint": mount} for mount in host.mounts],
        FULL: [{"mountpoint": mount} for mount in host.mounts],
        MEMORY: [{}],
        MISSING: [{"path": file.path} for file in host.files],
        STALE_FILE: [{"path": file.path} for file in host.files],
        FAILED: list(_unknown(host, phase)),
    }
    return [_alert(alert, host, **subject) for subject in found.get(alert, [])]


def _unknown(host: Host, phase: Phase) -> Iterator[dict[str, str]]:
    if not phase.seen:
        yield {"probe": "node_exporter"}
        if host.probe:
            yield {"probe": "healer_host"}
        return
    yield {"probe": "meminfo"}
    if host.units:
        yield {"probe": "systemd"}
    for mount in host.mounts:
        yield {"probe": "mountpoint", "target": mount}
    for kind, target in _probed(host):
        yield {"probe": kind, "target": target}


def _probed(host: Host) -> list[tuple[str, str]]:
    files = [("heartbeat_file", file.path) for file in host.files]
    return files + [("log", log.name) for log in host.logs]


@dataclass(frozen=True, slots=True)
class _Tally:
    """Something that is counted: its alert fires above `allowed` within `window` seconds."""

    series: str
    alert: str
    name: str
    allowed: int
    window: float


def _tallies(host: Host) -> Iterator[_Tally]:
    for unit in host.units:
        labels = {"host": host.name, "instance": host.node_exporter, "job": "node", "name": unit}
        yield _Tally(
            _series("node_systemd_service_restart_total", labels),
            CRASH_LOOP,
            _alert(CRASH_LOOP, host, unit=unit),
            host.restarts,
            host.restarts_window,
        )
    for log in host.logs:
        labels = {"host": host.name, "instance": str(host.probe), "job": "host", "log": log.name}
        yield _Tally(
            _series("host_log_errors_total", labels),
            LOG_ERRORS,
            _alert(LOG_ERRORS, host, log=log.name),
            log.errors,
            log.window,
        )


def _counted(hosts: tuple[Host, ...], step: float, above: float, upto: float) -> Iterator[Scenario]:
    """Give the story of what is counted within windows longer than `above` and up to `upto`, if there is any."""
    tallies = [
        tally
        for host in hosts
        for tally in _tallies(host)
        if above < tally.window <= upto or tally.window == above == SHORT
    ]
    if not tallies:
        return
    forgotten = PAUSE * (math.ceil(max(tally.window for tally in tallies) / PAUSE) + 1)
    few, many = forgotten, forgotten + PAUSE
    end = many + forgotten
    columns = _Columns()
    while columns.length * step <= end:
        now = columns.length * step
        columns.add(
            (tally.series, _count(tally, step, few=now >= few, many=now >= many)) for tally in tallies
        )
    checks = [
        _check(at, alert, [tally.name for tally in tallies if at == many and tally.alert == alert])
        for at in (few, many, end)
        for alert in (CRASH_LOOP, LOG_ERRORS)
    ]
    name = f"as many as allowed, too many, and forgotten ({len(tallies)} counted)"
    yield Scenario(name, step, columns.series(), tuple(checks))


def _count(tally: _Tally, step: float, *, few: bool, many: bool) -> float:
    # Of as many as allowed, increase() makes one more where the window holds few samples.
    exact = tally.allowed < tally.window / step / 4
    return WHOLE + few * (tally.allowed if exact else tally.allowed // 2) + many * (tally.allowed + 1)


def _series(name: str, labels: dict[str, str]) -> str:
    return f"{name}{{{', '.join(f'{key}={quoted(labels[key])}' for key in sorted(labels))}}}"


def _alert(name: str, host: Host, **subject: str) -> str:
    labels = {
        "alertname": name,
        "alertstate": "firing",
        "host": host.name,
        "severity": SEVERITY[name],
        **({"team": host.team} if host.team else {}),
        **subject,
    }
    return _series("ALERTS", labels)


def _check(at: float, alert: str, firing: Iterable[str]) -> Check:
    expr = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    return Check(at, expr, tuple((labels, 1.0) for labels in firing))
