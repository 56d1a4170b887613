"""The resolved wiring: who beats where and how often, as every other part of Healer reads it.

Nothing here parses or checks a document; `healer.truth.load` turns a document into these values.
All durations are seconds. All classes are immutable, so a `Truth` can be shared and compared freely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.truth.machines import Host
    from healer.truth.windows import Team, Window


class Source(StrEnum):
    """How a service beats: what the exporter has to do to hear it."""

    PUBSUB = "pubsub"
    KEY = "key"
    FILE = "file"
    PUSH = "push"

    @property
    def needs_bus(self) -> bool:
        """Whether such beats go through Redis; the others have a `Bus` of their own, called like the source."""
        return self in {Source.PUBSUB, Source.KEY}


def warmup_seconds(interval: float, timeout: float) -> float:
    """Return how long a service must be watched before its silence counts.

    The formula is the contract of the systems Healer replaces: `min(timeout, max(2*interval, 0.75*timeout))`.
    """
    return min(timeout, max(2 * interval, 0.75 * timeout))


@dataclass(frozen=True, slots=True)
class Bus:
    """What carries beats: a Redis server, or a source that needs none.

    Attributes:
        name: The `bus` label.
        url: A Redis URL. It may hold a password: never log it, show it through `healer.runtime.redact.safe_url`.
            Empty for a source that needs no Redis.
        origin: Where the URL comes from: a JSON path, `env NAME` or `default`.
        source: Which source this stands for; None for a Redis server.
    """

    name: str
    url: str = field(repr=False)
    origin: str = "default"
    source: Source | None = None

    @classmethod
    def of(cls, source: Source) -> Bus:
        """Return what stands for a source that needs no Redis."""
        return cls(source.value, "", source=source)


@dataclass(frozen=True, slots=True)
class Service:
    """One service that has to beat.

    Attributes:
        name: The `svc` label; unique in a truth.
        bus: Name of the bus that carries its beats; of one that needs no Redis, its source.
        channel: What is its heartbeat: a Redis channel or key, a file's path, or the path of a URL.
        interval: Seconds between two beats, as promised.
        timeout: Seconds of silence after which the service is missing.
        source: How it beats.
        severity: Label of its alerts.
        team: Label of its alerts, or None.
        runbook: URL of its own runbook, or None for Healer's.
        maintenance: When people are not told of it, beside the windows of its team.
        origins: For each of `bus`, `channel`, `interval`, `timeout`, `source`, `severity`, `team` and
            `runbook`: where its value comes from (a JSON path such as
            `services.rss_agg.heartbeat.interval_sec`, `env DEFAULT_TIMEOUT_SEC`, or `default`).
    """

    name: str
    bus: str
    channel: str
    interval: float
    timeout: float
    source: Source = Source.PUBSUB
    severity: str = "critical"
    team: str | None = None
    runbook: str | None = None
    maintenance: tuple[Window, ...] = ()
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )

    @property
    def warmup(self) -> float:
        """Seconds that one replica must have watched before silence counts as a miss."""
        return warmup_seconds(self.interval, self.timeout)


@dataclass(frozen=True, slots=True)
class Monitor:
    """What the truth says about Healer itself.

    Attributes:
        name: The `svc` of Healer's own beat and events (env SERVICE_ID, else `healer`).
        heartbeat_channel: Where the exporter publishes its own beat, on every bus.
        interval: Seconds between its own beats.
        timeout: Seconds after which Healer itself counts as missing.
        alerts_channel: Where the sentinel publishes events.
        alerts_bus: Name of the bus that carries `alerts_channel` and the `health:<svc>` keys.
        origins: For each of the other attributes where its value comes from, as in `Service`.
    """

    name: str = "healer"
    heartbeat_channel: str = "healer:heartbeat"
    interval: float = 10.0
    timeout: float = 30.0
    alerts_channel: str = "healer:alerts"
    alerts_bus: str = "system-redis"
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class Truth:
    """A document that loaded: the services to watch, the buses they are on, and Healer's own wiring.

    Attributes:
        services: Sorted by name.
        buses: Sorted by name; every bus that a service or the monitor names is here.
        monitor: Healer itself.
        version: The document's own `version`, or an empty string.
        sha256: Hex digest of the canonical heartbeat subset: equal for two documents that mean the same
            to Healer, whatever else they hold.
        teams: Those that have maintenance windows, sorted by name.
        hosts: The machines whose health is watched too, sorted by name.
    """

    services: tuple[Service, ...]
    buses: tuple[Bus, ...]
    monitor: Monitor
    version: str
    sha256: str
    teams: tuple[Team, ...] = ()
    hosts: tuple[Host, ...] = ()

    def bus(self, name: str) -> Bus:
        """Return the bus called `name`.

        Raises:
            KeyError: No such bus; cannot happen for a name taken from this truth.
        """
        for bus in self.buses:
            if bus.name == name:
                return bus
        raise KeyError(name)
