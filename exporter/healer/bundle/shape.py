"""The truth in the shape the rules want: constants by class, and thresholds derived from the truth.

A rule per service costs 0.13 ms each at every evaluation. Services that share labels and a duration differ in
nothing but their name, so one rule carries them all, as an alternation over names.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.bundle.settings import Settings
    from healer.truth.model import Service, Truth

FUTURE_SECONDS = 5.0
"""How far ahead of Prometheus' clock a stamp may be before it is taken for a clock fault."""
SHORTEST_COUNT_SECONDS = 300.0
"""The shortest window in which anything is counted: a few evaluations of the slow group."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One duration and the services that have it."""

    seconds: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """The services that share all labels, and their durations.

    Two recording rules of one name must differ in their labels, so the labels make the rule and the
    durations are the branches of its expression.
    """

    labels: tuple[tuple[str, str], ...]
    timeouts: tuple[Constant, ...]
    warmups: tuple[Constant, ...]


def _labels(service: Service) -> tuple[tuple[str, str], ...]:
    pairs = {
        "bus": service.bus,
        "severity": service.severity,
        "team": service.team,
        "runbook": service.runbook,
    }
    return tuple((name, value) for name, value in pairs.items() if value)


def _by(services: list[Service], seconds: Callable[[Service], float]) -> tuple[Constant, ...]:
    ordered = sorted(services, key=lambda each: (seconds(each), each.name))
    return tuple(
        Constant(value, tuple(each.name for each in same)) for value, same in groupby(ordered, seconds)
    )


def labelled(truth: Truth) -> tuple[Labelled, ...]:
    """Return the classes of `truth`'s services, sorted by their labels."""
    return tuple(
        Labelled(
            labels=labels,
            timeouts=_by(services := list(same), lambda each: each.timeout),
            warmups=_by(services, lambda each: each.warmup),
        )
        for labels, same in groupby(sorted(truth.services, key=_labels), _labels)
    )


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How patient the alerts about the watching itself are, in seconds.

    All of them scale with the timeout of Healer's own beat (30 s unless the truth says otherwise), so that a
    stack that beats every second also reports its faults within seconds.

    Attributes:
        own: Healer's own beat is late beyond this; the measure of all others.
        future: A stamp further ahead than this is a clock fault.
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
    future: float = FUTURE_SECONDS

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


def repeat_interval(settings: Settings) -> float:
    """Return how often a Watchdog may be repeated: below its group_interval, or every second beat is lost."""
    half = settings.group_interval / 2
    return float(int(half)) if half >= 1 else half


def reminder_interval(settings: Settings) -> float:
    """Return how often a sentinel is told again what is still missing: what it is told no more is over."""
    return 12 * settings.group_interval
