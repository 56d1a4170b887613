"""The sentinel's own metrics, all with their series there from the start so that rates and alerts need no luck."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from healer import __version__
from healer.sentinel.alerts import KNOWN
from healer.sentinel.events import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import CollectorRegistry, Metric

    from healer.runtime.clock import Clock
    from healer.sentinel.alerts import Alert
    from healer.sentinel.courier import Courier
    from healer.sentinel.deadman import Switch
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.watchdog import Watchdog

CODES = (200, 400, 401, 403, 413, 415, 503)
"""What /webhook answers."""

RESULTS = ("sent", "failed")

OTHER = "other"
"""Stands for every alertname that is not the sentinel's business: names from outside must not become series."""


class Counts:
    """What happened, counted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "sentinel_events", "Events that this process published.", ["type"], registry=registry
        )
        self._requests = Counter(
            "sentinel_webhook_requests", "Webhooks answered, by HTTP status.", ["code"], registry=registry
        )
        self._alerts = Counter(
            "sentinel_alerts_received",
            "Alerts in webhooks; status invalid: without a usable svc.",
            ["alertname", "status"],
            registry=registry,
        )
        self._notifications = Counter(
            "sentinel_notifications",
            "Tries to tell people directly, while the pipeline is silent.",
            ["channel", "result"],
            registry=registry,
        )
        self._pings = Counter(
            "sentinel_deadmansswitch_pings", "Calls of the dead man's switch.", ["result"], registry=registry
        )
        for result in RESULTS:
            self._pings.labels(result)
        for type_ in TYPES:
            self._events.labels(type_)
        for code in CODES:
            self._requests.labels(str(code))
        for name in (*KNOWN, OTHER):
            for status in ("firing", "resolved", "invalid"):
                self._alerts.labels(name, status)

    def event(self, type_: str) -> None:
        """Count an event published."""
        self._events.labels(type_).inc()

    def request(self, code: int) -> None:
        """Count a webhook answered with `code`."""
        self._requests.labels(str(code)).inc()

    def channel(self, name: str) -> None:
        """Let the series of the channel `name` be there from the start."""
        for result in RESULTS:
            self._notifications.labels(name, result)

    def notification(self, channel: str, result: str) -> None:
        """Count a try to tell people."""
        self._notifications.labels(channel, result).inc()

    def ping(self, result: str) -> None:
        """Count a call of the dead man's switch."""
        self._pings.labels(result).inc()

    def alert(self, alert: Alert) -> None:
        """Count an alert received."""
        name = alert.name if alert.name in KNOWN else OTHER
        status = "firing" if alert.firing else "resolved"
        self._alerts.labels(name, "invalid" if alert.ignored else status).inc()


class StateCollector(Collector):
    """Yields what is the case, at each scrape."""

    def __init__(
        self,
        delivery: Delivery,
        watchdog: Watchdog,
        clock: Clock,
        couriers: Sequence[Courier] = (),
        switch: Switch | None = None,
    ) -> None:
        self._delivery = delivery
        self._couriers = couriers
        self._switch = switch
        self._watchdog = watchdog
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client at each scrape."""
        beat = self._watchdog.beat or 0.0
        yield GaugeMetricFamily(
            "sentinel_watchdog_last_beat_timestamp_seconds",
            "When the rules were evaluated for the Watchdog heard last, never in the future; 0 before the first.",
            value=min(beat, self._clock.wall()),
        )
        yield GaugeMetricFamily(
            "sentinel_watchdog_silent",
            "1 while no Watchdog comes: Prometheus or Alertmanager is out.",
            value=float(self._watchdog.silent()),
        )
        yield GaugeMetricFamily(
            "sentinel_watchdog_timeout_seconds",
            "Silence after which the pipeline counts as out.",
            value=self._watchdog.timeout,
        )
        yield GaugeMetricFamily(
            "sentinel_redis_up",
            "1 while the alerts bus answers.",
            value=float(self._delivery.ledger is not None and bool(self._delivery.ledger.up)),
        )
        yield GaugeMetricFamily(
            "sentinel_pending_resolutions",
            "Recoveries held back because an expired alert is no proof of one.",
            value=self._delivery.pending(),
        )
        pending = GaugeMetricFamily(
            "sentinel_notifications_pending", "Messages that have not arrived yet.", labels=["channel"]
        )
        for courier in self._couriers:
            pending.add_metric([courier.name], courier.pending)
        yield pending
        if self._switch is not None:
            yield GaugeMetricFamily(
                "sentinel_deadmansswitch_last_success_timestamp_seconds",
                "When the dead man's switch last answered; 0 before the first.",
                value=self._switch.succeeded,
            )
        truth = InfoMetricFamily("sentinel_truth", "The truth that runs.")
        if self._delivery.truth is not None:
            truth.add_metric(
                [], {"sha256": self._delivery.truth.sha256, "version": self._delivery.truth.version}
            )
        yield truth
        build = InfoMetricFamily("sentinel_build", "What this sentinel is.")
        build.add_metric([], {"version": __version__, "python_version": platform.python_version()})
        yield build
