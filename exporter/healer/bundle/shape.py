"""The truth in the shape the rules want: services by class, and thresholds derived from the truth.

A rule per service costs 0.13 ms each at every evaluation, and a join of two series per service as much as five
selections of one. Services that share labels, timeout and warm-up differ in nothing but their name, so one rule
carries them all, as an alternation over names, and compares with numbers instead of series.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from healer.truth.shard import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.bundle.settings import Settings
    from healer.truth.model import Service, Truth

FUTURE_SECONDS = 5.0
"""How far ahead of Prometheus' clock a stamp may be before it is taken for a clock fault."""
QUEUE_CAPACITY = 10_000
"""Prometheus' own `--alertmanager.notification-queue-capacity`."""
LEISURELY = ((10_000, 60.0), (1000, 30.0))
"""From how many services on, seconds between evaluations for which no page waits; the most first."""
SAMPLES = 100
"""So many services of each bus stand for all of them where one would do."""
SHORTEST_COUNT_SECONDS = 300.0
"""The shortest window in which anything is counted: a few evaluations of the slow group."""


@dataclass(frozen=True, slots=True)
class Class:
    """Services alike in all that truth says of them but their name.

    Attributes:
        labels: The labels of their alerts, `bus` among them.
        timeout: Seconds of silence that make them missing.
        warmup: Seconds that they have to be watched before their silence counts.
        names: Who they are, sorted.
        shard: Which group they are shared out to, from 1 on; 0 if there is but one.
    """

    labels: tuple[tuple[str, str], ...]
    timeout: float
    warmup: float
    names: tuple[str, ...]
    shard: int

    @property
    def bus(self) -> str:
        """The bus they are on."""
        return dict(self.labels)["bus"]

    @property
    def id(self) -> str:
        """The shard, and twelve hexadecimal digits that are others as soon as anything differs, be it a name."""
        digits = _digest([self.labels, self.timeout, self.warmup, self.names])
        return f"{self.shard}-{digits}" if self.shard else digits


@dataclass(frozen=True, slots=True)
class OnBus:
    """What some classes have in common whose services are on one bus.

    Attributes:
        bus: Its name.
        ids: The classes' ids.
        names: Who they are, sorted.
    """

    bus: str
    ids: tuple[str, ...]
    names: tuple[str, ...]


def _labels(service: Service) -> tuple[tuple[str, str], ...]:
    pairs = {
        "bus": service.bus,
        "severity": service.severity,
        "team": service.team,
        "runbook": service.runbook,
    }
    return tuple((name, value) for name, value in pairs.items() if value)


def _kind(service: Service) -> tuple[tuple[tuple[str, str], ...], float, float]:
    return _labels(service), service.timeout, service.warmup


def _classes(services: Iterable[Service], shard: int) -> tuple[Class, ...]:
    ordered = sorted(services, key=lambda each: (_kind(each), each.name))
    return tuple(
        Class(*kind, tuple(each.name for each in alike), shard) for kind, alike in groupby(ordered, _kind)
    )


def sharded(truth: Truth, shards: int) -> tuple[tuple[Class, ...], ...]:
    """Return the classes of `truth`'s services in so many shards, each sorted by labels, timeout and warm-up.

    A service stays in its shard whatever becomes of the others.
    """
    every: list[list[Service]] = [[] for _ in range(shards)]
    for service in truth.services:
        every[shard_of(service.name, shards)].append(service)
    return tuple(_classes(some, index if shards > 1 else 0) for index, some in enumerate(every, 1))


def digest(every: Iterable[Class]) -> str:
    """Return twelve hexadecimal digits that are others as soon as any of these classes is another."""
    return _digest([each.id for each in every])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def labelled(every: Iterable[Class]) -> tuple[tuple[Class, ...], ...]:
    """Return classes by their labels: two recording rules of one name must differ in theirs."""
    ordered = sorted(every, key=lambda each: (each.labels, each.timeout, each.warmup, each.names))
    return tuple(tuple(same) for _, same in groupby(ordered, lambda each: each.labels))


def on_buses(classes: Iterable[Class]) -> tuple[OnBus, ...]:
    """Return `classes` by their bus, sorted."""
    ordered = sorted(classes, key=lambda each: each.bus)
    shared = ((bus, tuple(same)) for bus, same in groupby(ordered, lambda each: each.bus))
    return tuple(
        OnBus(
            bus,
            tuple(each.id for each in same),
            tuple(sorted(name for each in same for name in each.names)),
        )
        for bus, same in shared
    )


def samples(classes: Iterable[Class]) -> tuple[str, ...]:
    """Return the first `SAMPLES` services of each bus, sorted: who shows any service of a bus may show these."""
    return tuple(sorted(name for each in on_buses(classes) for name in each.names[:SAMPLES]))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How patient the alerts about the watching itself are, in seconds.

    All of them scale with the timeout of Healer's own beat (30 s unless the truth says otherwise), so that a
    stack that beats every second also reports its faults within seconds.

    Attributes:
        own: Healer's own beat is late beyond this; the measure of all others.
        scrape: Time between two scrapes.
        future: A stamp further ahead than this is a clock fault.
        fresh: Twice `own`, three scrapes at least: older samples are of a replica that is gone. Those of one that
            went while Prometheus was down stand for five minutes, for nobody marks them stale.
        bus_down: Half of `own`: a Redis restart passes in silence, and a lost bus is named before
            Healer's own beat, which stops with the last bus, is late.
        sentinel_down: `own`: the sentinel is waited for as long as Healer is.
        unheard: Twice `own`: nobody listens to a service, and no alert with a cause has fired by then.
        doubtful: Ten times `own`: clocks and truths may differ for the time a rollout or an NTP step takes.
        flapping: Sixty times `own`: the window in which misses are counted; five minutes at least, because the
            group that counts is evaluated once a minute.
        crashing: Thirty times `own`: the window in which publisher restarts are counted; five minutes at least.
    """

    own: float
    scrape: float
    future: float = FUTURE_SECONDS

    @property
    def fresh(self) -> float:
        """Twice `own`, at least three scrapes."""
        return max(2 * self.own, 3 * self.scrape)

    def doubt(self, timeout: float) -> float:
        """Return by how many seconds two replicas' stamps of one beat may differ: half of `timeout`, at most `own`.

        Their clocks are not quite alike, and a connection may bring a beat late without being called deaf. The beat
        that ends a miss is later than the last one by the whole timeout. At most `own`, so that who returns while a
        new truth makes its timeout longer is not kept waiting.
        """
        return min(timeout / 2, self.own)

    @property
    def bus_down(self) -> float:
        """Half of `own`."""
        return self.own / 2

    @property
    def sentinel_down(self) -> float:
        """As long as `own`."""
        return self.own

    @property
    def unheard(self) -> float:
        """Twice `own`."""
        return 2 * self.own

    @property
    def doubtful(self) -> float:
        """Ten times `own`."""
        return 10 * self.own

    @property
    def flapping(self) -> float:
        """Sixty times `own`, at least `SHORTEST_COUNT_SECONDS`."""
        return max(60 * self.own, SHORTEST_COUNT_SECONDS)

    @property
    def crashing(self) -> float:
        """Thirty times `own`, at least `SHORTEST_COUNT_SECONDS`."""
        return max(30 * self.own, SHORTEST_COUNT_SECONDS)


def leisurely_interval(truth: Truth, settings: Settings) -> float:
    """Return how often that is evaluated for which no page waits: constants, states, alerts about the watching.

    As often as the rest while that costs next to nothing.
    """
    seconds = next((pace for many, pace in LEISURELY if len(truth.services) >= many), 0.0)
    return max(settings.evaluation_interval, seconds)


def memory_interval(truth: Truth, settings: Settings) -> float:
    """Return how often the newest beats are written down in a group of their own; 0: in that of the verdicts.

    They matter once an exporter that has forgotten them has watched for a warm-up, and are written down twice by then.
    """
    every = settings.evaluation_interval
    shortest = min((service.warmup for service in truth.services), default=0.0)
    evaluations = min(leisurely_interval(truth, settings), shortest / 2) // every
    return evaluations * every if evaluations > 1 else 0.0


def queue_capacity(truth: Truth) -> int:
    """Return how many notifications Prometheus has to keep, lest it drops some when all services die at once.

    One evaluation may bring an alert of each service, and the next does before the first are sent.
    """
    return max(QUEUE_CAPACITY, 4 * len(truth.services))


def repeat_interval(settings: Settings) -> float:
    """Return how often a Watchdog may be repeated: below its group_interval, or every second beat is lost."""
    half = settings.group_interval / 2
    return float(int(half)) if half >= 1 else half


def reminder_interval(settings: Settings) -> float:
    """Return how often a sentinel is told again what is still missing: what it is told no more is over."""
    return 12 * settings.group_interval
