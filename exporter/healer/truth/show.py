"""Shows a truth: a table whose values say where they come from, or JSON."""

from __future__ import annotations

import json
import re
import string
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from healer.runtime.redact import safe_url
from healer.truth.diff import seconds
from healer.truth.model import Source
from healer.truth.problems import path_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from healer.truth.load import Loaded
    from healer.truth.machines import Host
    from healer.truth.model import Service, Truth
    from healer.truth.windows import Window

POSITION = re.compile(r"\[\d+\]")
MONITOR_ROWS = (
    ("name", "name"),
    ("own beat", "heartbeat_channel"),
    ("interval", "interval"),
    ("timeout", "timeout"),
    ("events", "alerts_channel"),
    ("events on bus", "alerts_bus"),
)
NO_URL = "none: not on Redis"
HEADINGS = ("service", "bus", "channel", "interval", "timeout", "warm-up", "severity")


class Legend:
    """Gives each kind of origin a letter: the same key of several services is one kind."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def mark(self, origin: str, what: str = "", name: str = "") -> str:
        """Return the letter of a value's origin, after a space; nothing for a default.

        Args:
            origin: As the truth has it.
            what: What owns the value (`service`, `bus`): it stands in the legend for its name.
            name: The owner's name.
        """
        if origin == "default":
            return ""
        kind = POSITION.sub("[]", origin)
        if what:
            step = re.escape(path_text((what, name))[len(what) :])
            kind = re.sub(rf"^(services|components|buses){step}(?=[.\[])", rf"\1.<{what}>", kind)
        if kind not in self._letters:
            self._letters[kind] = self._letter(len(self._letters))
        return f" ({self._letters[kind]})"

    def lines(self) -> Iterable[str]:
        """Return one line for each letter."""
        return [f"({letter}) {kind}" for kind, letter in self._letters.items()] + [
            "without a letter: default"
        ]

    @staticmethod
    def _letter(number: int) -> str:
        letters = [a + b for a, b in product(["", *string.ascii_lowercase], string.ascii_lowercase)]
        return str(letters[number % len(letters)])


def tables(truth: Truth, *, plain: bool) -> list[Table | Text]:
    """Return what `show` prints: services, buses, Healer itself, and the legend of origins.

    Args:
        truth: What to show.
        plain: Without lines and colours, for files and pipes.
    """
    legend = Legend()
    services = _table(plain, HEADINGS)
    for service in truth.services:
        services.add_row(*(_cell(text, mark) for text, mark in _cells(service, legend)))
    buses = _table(plain, ("bus", "URL"))
    for bus in truth.buses:
        buses.add_row(bus.name, _cell(safe_url(bus.url) or NO_URL, legend.mark(bus.origin, "bus", bus.name)))
    maintained = _table(plain, ("maintenance", "", "reason"))
    for kind, owners in (("service", truth.services), ("team", truth.teams)):
        for owner in owners:
            for window in owner.maintenance:
                maintained.add_row(f"{kind} {owner.name}", str(window), window.reason)
    hosts = _table(plain, ("host", "node_exporter", "healer host", "units", "mounts", "files", "logs"))
    for host in truth.hosts:
        hosts.add_row(host.name, host.node_exporter, host.probe or "none", *map(_lines, _watched(host)))
    itself = _table(plain, ("healer itself", ""))
    for label, name in MONITOR_ROWS:
        value: str | float = getattr(truth.monitor, name)
        text = seconds(value) if isinstance(value, float) else value
        itself.add_row(label, _cell(text, legend.mark(truth.monitor.origins.get(name, "default"))))
    foot = f"version {truth.version or 'none'}, sha256 {truth.sha256}"
    others = [table for table in (maintained, hosts) if table.row_count]
    return [
        services,
        buses,
        *others,
        itself,
        Text("\n".join(["where values come from:", *legend.lines(), "", foot])),
    ]


def as_json(loaded: Loaded) -> str:
    """Return the truth as JSON, with the origin of each value; URLs without their passwords."""
    truth = loaded.truth
    document = {
        "version": truth.version,
        "sha256": truth.sha256,
        "services": {
            service.name: {
                "bus": service.bus,
                "channel": service.channel,
                "interval_sec": service.interval,
                "timeout_sec": service.timeout,
                "warmup_sec": service.warmup,
                "source": service.source.value,
                "severity": service.severity,
                "team": service.team,
                "runbook_url": service.runbook,
                "maintenance": [_window(window) for window in service.maintenance],
                "origins": dict(service.origins),
            }
            for service in truth.services
        },
        "teams": {
            team.name: {"maintenance": [_window(window) for window in team.maintenance]}
            for team in truth.teams
        },
        "hosts": {host.name: asdict(host) for host in truth.hosts},
        "buses": {bus.name: {"url": safe_url(bus.url), "origin": bus.origin} for bus in truth.buses},
        "healer": _monitor(truth),
        "warnings": [str(problem) for problem in loaded.warnings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _monitor(truth: Truth) -> Mapping[str, Any]:
    monitor = truth.monitor
    return {
        "name": monitor.name,
        "heartbeat_channel": monitor.heartbeat_channel,
        "interval_sec": monitor.interval,
        "timeout_sec": monitor.timeout,
        "alerts_channel": monitor.alerts_channel,
        "alerts_bus": monitor.alerts_bus,
        "origins": dict(monitor.origins),
    }


def _window(window: Window) -> dict[str, str]:
    return {"when": str(window), "reason": window.reason}


def _watched(host: Host) -> tuple[Iterable[str], ...]:
    """Return what is watched of a host: its units, mounts, files and logs."""
    files = (f"{file.path} ({seconds(file.timeout)})" for file in host.files)
    return host.units, host.mounts, files, (log.name for log in host.logs)


def _lines(words: Iterable[str]) -> str:
    return "\n".join(words) or "none"


def _cells(service: Service, legend: Legend) -> Iterable[tuple[str, str]]:
    def mark(name: str) -> str:
        return legend.mark(service.origins.get(name, "default"), "service", service.name)

    yield service.name, ""
    yield service.bus, mark("bus")
    kind = "" if service.source is Source.PUBSUB else f"{service.source.value} "
    yield f"{kind}{service.channel}", mark("channel")
    yield seconds(service.interval), mark("interval")
    yield seconds(service.timeout), mark("timeout")
    yield seconds(service.warmup), ""
    yield service.severity, mark("severity")


def _cell(text: str, mark: str) -> Text:
    return Text.assemble(text, (mark, "dim"))


def _table(plain: bool, headings: Iterable[str]) -> Table:
    table = Table(box=None if plain else SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
