"""Autoheal's metrics, all with their series there from the start; labels come from the policy, never from alerts."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from healer import __version__
from healer.autoheal.events import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client import CollectorRegistry, Metric

    from healer.autoheal.events import Event
    from healer.autoheal.policy import Policy

RESULTS: Mapping[str, str] = {
    Kind.ACTION_OK: "ok",
    Kind.ACTION_FAIL: "fail",
    Kind.DECISION_SKIP: "skip",
    Kind.ACTION_DRY_RUN: "dry_run",
    Kind.ACTION_CANCELLED: "cancelled",
    Kind.ACTION_INTERRUPTED: "interrupted",
}
"""What the label `result` says of each kind of event."""

FAILURES = (Kind.ACTION_FAIL, Kind.ACTION_INTERRUPTED)
HEAL_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600)
CODES = (200, 400, 413, 503)
"""What /alert answers."""


class Counts:
    """What happened, counted."""

    def __init__(self, registry: CollectorRegistry, policy: Policy) -> None:
        named = ["alertname"]
        self._actions = Counter(
            "autoheal_actions", "Actions by alert and result.", [*named, "result"], registry=registry
        )
        self._failures = Counter(
            "autoheal_action_failures", "Actions that failed or were interrupted.", named, registry=registry
        )
        self._last = Gauge(
            "autoheal_action_last_timestamp",
            "When the last action began (epoch seconds); 0: none yet.",
            named,
            registry=registry,
        )
        self._interrupted = Gauge(
            "autoheal_last_interrupted_timestamp_seconds",
            "When an action was last found interrupted (epoch seconds); 0: never.",
            registry=registry,
        )
        self._events = Counter("autoheal_event", "Events on record, by kind.", ["kind"], registry=registry)
        self._verdicts = Counter(
            "autoheal_verdicts", "Whether the alert resolved after the action.", ["result"], registry=registry
        )
        self._heal = Histogram(
            "autoheal_heal_seconds",
            "From the start of an action to the end of its alert.",
            buckets=HEAL_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            "autoheal_webhook_requests", "Webhooks answered, by HTTP status.", ["code"], registry=registry
        )
        for kind in Kind:
            self._events.labels(kind)
        for result in (Kind.HEALED, Kind.NOT_HEALED):
            self._verdicts.labels(result)
        for code in CODES:
            self._requests.labels(str(code))
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Have the series of the alertnames that `policy` spells out."""
        self._policy = policy
        for name in policy.alertnames:
            self._failures.labels(name)
            self._last.labels(name)
            for result in RESULTS.values():
                self._actions.labels(name, result)

    def recall(self, events: Iterable[Event]) -> None:
        """Take times from the record of an earlier process; what it counted was its own."""
        for event in events:
            self._note(event)

    def event(self, event: Event) -> None:
        """Count an event that is on record."""
        self._note(event)
        self._events.labels(event.kind).inc()
        name = self._policy.series(event.alertname)
        if event.kind in RESULTS:
            self._actions.labels(name, RESULTS[event.kind]).inc()
        if event.kind in FAILURES:
            self._failures.labels(name).inc()
        if event.kind in {Kind.HEALED, Kind.NOT_HEALED}:
            self._verdicts.labels(event.kind).inc()
        if event.after_sec is not None:
            self._heal.observe(event.after_sec)

    def _note(self, event: Event) -> None:
        if event.kind == Kind.ACTION_START:
            self._last.labels(self._policy.series(event.alertname)).set(event.ts)
        elif event.kind == Kind.ACTION_INTERRUPTED:
            self._interrupted.set(event.ts)

    def request(self, code: int) -> None:
        """Count a webhook answered with `code`."""
        self._requests.labels(str(code)).inc()


class StateCollector(Collector):
    """Yields what is the case, at each scrape."""

    def __init__(
        self,
        gauges: Mapping[str, tuple[str, Callable[[], float]]],
        cooldowns: Callable[[], Mapping[str, float]],
    ) -> None:
        """Make a collector.

        Args:
            gauges: Help text and value of each gauge, by name.
            cooldowns: Returns the seconds left of the longest cooldown of each alertname.
        """
        self._gauges = gauges
        self._cooldowns = cooldowns

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client at each scrape."""
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=value())
        remaining = GaugeMetricFamily(
            "autoheal_cooldown_remaining_seconds",
            "Seconds left of the longest cooldown; 0: ready.",
            labels=["alertname"],
        )
        for alertname, seconds in self._cooldowns().items():
            remaining.add_metric([alertname], seconds)
        yield remaining
        build = InfoMetricFamily("autoheal_build", "What this autoheal is.")
        build.add_metric([], {"version": __version__, "python_version": platform.python_version()})
        yield build
