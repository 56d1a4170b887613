"""Turns a wiring document into a `Truth`, or into everything that is wrong with it at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from healer.runtime.place import place_of
from healer.truth import buses, document, hosts, maintenance, sources, timing, wiring
from healer.truth.blocks import LONGEST_TEXT, Block, Environment, Given, alike, text_fault
from healer.truth.canonical import digest
from healer.truth.model import Bus, Service, Truth
from healer.truth.monitor import read_monitor
from healer.truth.problems import Problem, Problems, TruthError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from healer.truth.wiring import Watch

HEALER_KEYS = ("access_points", "threshold", "heartbeat")
ACCESS_KEYS = ("subscribe_to", "publish_to")
SERVICE_KEYS = ("heartbeat", "severity", "runbook_url", maintenance.KEY)
SEVERITIES = ("critical", "warning", "info")
WEB_URL = re.compile(r"https?://[^\s/]\S*")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document that can be used.

    Attributes:
        truth: What it means.
        warnings: What is doubtful about it, in the order of the document.
        declared: Every bus of the document, also those on which nothing beats, sorted by name: where it is seeded.
        source: The document's name in messages.
    """

    truth: Truth
    warnings: tuple[Problem, ...]
    declared: tuple[Bus, ...]
    source: str


def load_file(path: Path, env: Mapping[str, str]) -> Loaded:
    """Load the document in a file.

    Raises:
        TruthError: It cannot be read, or what is in it cannot be used.
    """
    return parse(read_file(path), env=env, source=str(path))


def read_file(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        TruthError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        problem = Problem("the file", (error.strerror or "an error").lower(), "a readable file")
        raise TruthError([problem], str(path)) from None


def parse(text: str | bytes, *, env: Mapping[str, str], source: str = "truth.json") -> Loaded:
    """Load a document.

    Args:
        text: JSON; bytes are UTF-8, with or without a byte order mark.
        env: Environment variables; docs/truth.md lists those that count.
        source: The document's name in messages.

    Raises:
        TruthError: It cannot be used; holds all of its problems.
    """
    members, lines = document.read(text, source)
    problems = Problems(lines)
    root = Block(members, (), problems).unique()
    environment = Environment(env, problems)
    services = wiring.find_services(root, problems)
    healer = _healer(services, problems)
    shared = timing.shared_timeout(healer, environment)
    monitor, alerts_bus = read_monitor(healer, shared, environment, root.block("buses"), problems)
    own = {monitor.heartbeat_channel, monitor.alerts_channel}
    watches = wiring.read_watches(healer, services, own, problems) if wiring.HEALER in services else []
    if any(watch.name == monitor.name for watch in watches):
        problems.error(
            "env SERVICE_ID", shown(monitor.name), "a name that no service has", "Unset SERVICE_ID."
        )
    watched = tuple(_service(watch, shared, problems) for watch in watches)
    teams = maintenance.teams(root, {service.team for service in watched if service.team}, problems)
    machines = hosts.hosts(root, problems)
    beyond = sorted({service.source for service in watched if not service.source.needs_bus})
    uses = _uses(watches, healer, alerts_bus)
    sources.note_taken(uses, beyond, problems)
    used, declared = buses.resolve(root, uses, problems)
    used = tuple(sorted([*used, *map(Bus.of, beyond)], key=lambda bus: bus.name))
    _note_cluster(used, alerts_bus, problems)
    problems.refuse(source)
    truth = Truth(
        services=watched,
        buses=used,
        monitor=monitor,
        version=_version(members.get("version")),
        sha256=digest(watched, used, monitor, teams, machines),
        teams=teams,
        hosts=machines,
    )
    return Loaded(truth, problems.sorted(), declared, source)


def _healer(services: Block, problems: Problems) -> Block:
    """Return Healer's own block, with what looks misspelt in it noted: other keys may be others' business."""
    if wiring.HEALER not in services and services.sound:
        hint = f'Add "healer": {{"access_points": {{"subscribe_to": [{wiring.EXAMPLE}]}}}}.'
        problems.error(services.at(wiring.HEALER), "nothing", "Healer's own block", hint)
    healer = services.block(wiring.HEALER)
    for block, known in ((healer, HEALER_KEYS), (healer.block("access_points"), ACCESS_KEYS)):
        for key, meant in block.misspelt(known):
            block.wrong(key, f"one of {', '.join(known)}", f"Did you mean {meant}?", found="an unknown key")
    return healer


def _service(watch: Watch, shared: Given[float], problems: Problems) -> Service:
    block = watch.block
    for key, meant in block.misspelt(SERVICE_KEYS):
        problems.warn(
            block.at(key), "an unknown key", meant, "Rename it if that is what it is; it has no effect so."
        )
    heartbeat = timing.heartbeat(block)
    interval = timing.interval_seconds(heartbeat)
    timeout = timing.timeout_seconds(heartbeat, shared)
    timing.check(heartbeat, interval, timeout, problems)
    source = sources.source(heartbeat)
    sources.check_path(heartbeat, source.value)
    severity = _severity(block)
    team = block.text("team", "the name of a team")
    runbook = _runbook(block)
    given: dict[str, Given[str] | Given[float] | None] = {
        "bus": watch.bus,
        "channel": watch.channel,
        "interval": interval,
        "timeout": timeout,
        "severity": severity,
        "team": team,
        "runbook": runbook,
    }
    origins = {name: value.origin if value else "default" for name, value in given.items()}
    return Service(
        name=watch.name,
        bus=watch.bus.value,
        channel=watch.channel.value,
        interval=interval.value,
        timeout=timeout.value,
        source=source.value,
        severity=severity.value,
        team=team.value if team else None,
        runbook=runbook.value if runbook else None,
        maintenance=maintenance.windows(block),
        origins=MappingProxyType({**origins, "source": source.origin}),
    )


def _severity(block: Block) -> Given[str]:
    given = block.text("severity", f"one of {', '.join(SEVERITIES)}")
    if given is not None and given.value not in SEVERITIES:
        meant = alike(given.value.lower(), SEVERITIES)
        hint = f"Did you mean {meant}?" if meant else "Remove it for critical."
        block.wrong("severity", f"one of {', '.join(SEVERITIES)}", hint)
        given = None
    return given or Given(SEVERITIES[0], "default")


def _runbook(block: Block) -> Given[str] | None:
    given = block.text("runbook_url", "a URL", LONGEST_TEXT)
    if given is not None and not WEB_URL.fullmatch(given.value):
        block.wrong("runbook_url", "a URL such as https://wiki.example/rss_agg")
        return None
    return given


def _note_cluster(used: Sequence[Bus], alerts_bus: Given[str], problems: Problems) -> None:
    """Note it if Healer's events are to go to a cluster: their records change together, which one server can do."""
    bus = next((bus for bus in used if bus.name == alerts_bus.value), None)
    if bus is not None and place_of(bus.url).kind == "cluster":
        path = alerts_bus.path if alerts_bus.origin != "default" else bus.origin
        hint = "Name a bus that is no cluster in publish_to, for the key that ends in :alerts."
        problems.error(path, f"{shown(bus.name)}, a cluster", "one server for Healer's events", hint)


def _uses(watches: Sequence[Watch], healer: Block, alerts_bus: Given[str]) -> list[buses.Use]:
    uses = [
        buses.Use(watch.bus, buses.redis_url(watch.block.block("heartbeat"), "redis_url"))
        for watch in watches
        if sources.beyond_redis(watch.block.members) is None
    ]
    own = buses.redis_url(healer.block("heartbeat"), "redis_url")
    # Healer's own URL is the last resort: a service's says more surely where that service beats.
    known = any(use.url for use in uses if use.bus.value == alerts_bus.value)
    return [*uses, buses.Use(alerts_bus, None if known else own)]


def _version(value: object) -> str:
    """Return the document's version, an empty string where it is no version that a label could hold."""
    text = "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
    return text if text_fault(text) is None else ""
