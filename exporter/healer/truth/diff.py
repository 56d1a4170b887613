"""Says in heartbeat terms what changed from one truth to another."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from healer.runtime.redact import safe_url
from healer.truth.machines import Host

if TYPE_CHECKING:
    from healer.truth.model import Service, Truth

SERVICE_FIELDS = (
    "bus",
    "channel",
    "interval",
    "timeout",
    "source",
    "severity",
    "team",
    "runbook",
    "maintenance",
)
MONITOR_FIELDS = ("name", "heartbeat_channel", "interval", "timeout", "alerts_channel", "alerts_bus")


def diff(old: Truth, new: Truth) -> tuple[str, ...]:
    """Return one line for each service, bus or setting of Healer that was added, removed or changed."""
    before = {service.name: service for service in old.services}
    after = {service.name: service for service in new.services}
    lines = [f"- {name}" for name in sorted(before.keys() - after.keys())]
    lines += [f"+ {_summary(after[name])}" for name in sorted(after.keys() - before.keys())]
    for name in sorted(before.keys() & after.keys()):
        lines += _changes(name, before[name], after[name], SERVICE_FIELDS)
    lines += _team_changes(old, new)
    lines += _host_changes(old, new)
    old_urls = {bus.name: safe_url(bus.url) for bus in old.buses if bus.source is None}
    new_urls = {bus.name: safe_url(bus.url) for bus in new.buses if bus.source is None}
    for name in sorted(old_urls.keys() | new_urls.keys()):
        was, now = old_urls.get(name, "none"), new_urls.get(name, "none")
        if was != now:
            lines.append(f"~ bus {name}: {was} -> {now}")
    return (*lines, *_changes("healer itself", old.monitor, new.monitor, MONITOR_FIELDS))


def _team_changes(old: Truth, new: Truth) -> list[str]:
    was, now = ({team.name: team.maintenance for team in each.teams} for each in (old, new))
    return [
        f"~ team {name}: maintenance {_shown(was.get(name, ()))} -> {_shown(now.get(name, ()))}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


def _host_changes(old: Truth, new: Truth) -> list[str]:
    was, now = ({host.name: host for host in each.hosts} for each in (old, new))
    lines = [f"- host {name}" for name in sorted(was.keys() - now.keys())]
    lines += [f"+ host {name}" for name in sorted(now.keys() - was.keys())]
    names = [field.name for field in fields(Host)]
    for name in sorted(was.keys() & now.keys()):
        changed = [each for each in names if getattr(was[name], each) != getattr(now[name], each)]
        if changed:
            lines.append(f"~ host {name}: {', '.join(changed).replace('_', ' ')}")
    return lines


def seconds(value: float) -> str:
    """Return a duration as people write it: `10 s`, `22.5 s`."""
    return f"{value:.10g} s"


def _summary(service: Service) -> str:
    every, timeout = seconds(service.interval), seconds(service.timeout)
    return f"{service.name}: {service.channel} on {service.bus}, every {every}, timeout {timeout}"


def _changes(name: str, old: object, new: object, names: tuple[str, ...]) -> list[str]:
    changed = [
        f"{field.replace('_', ' ')} {_shown(getattr(old, field))} -> {_shown(getattr(new, field))}"
        for field in names
        if getattr(old, field) != getattr(new, field)
    ]
    return [f"~ {name}: {', '.join(changed)}"] if changed else []


def _shown(value: object) -> str:
    if isinstance(value, float):
        return seconds(value)
    if isinstance(value, tuple):
        value = "; ".join(map(str, value)) or None
    return "none" if value is None else str(value)
