"""The exporter's metrics, rendered from the board and the buses at each scrape.

Instants leave as epoch seconds, never as ages: Prometheus subtracts. All names and labels are documented in
docs/metrics.md, which a test compares with what this module yields.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from healer import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client import Metric

    from healer.beats.board import Slot
    from healer.exporter.wiring import Wiring
    from healer.runtime.clock import Anchor

SERVICE = ("svc", "bus")


class HeartbeatCollector(Collector):
    """Yields the `heartbeat_*` families of one exporter."""

    def __init__(self, wiring: Wiring, anchor: Anchor) -> None:
        self._wiring = wiring
        self._anchor = anchor

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus_client at each scrape."""
        self._anchor.check()
        yield from self._beats()
        yield from self._settings()
        yield from self._buses()
        yield from self._truth()

    def _epoch(self, instant: float | None) -> float:
        return 0.0 if instant is None else self._anchor.epoch(instant)

    def _beats(self) -> Iterator[Metric]:
        up = {name for name, listener in self._wiring.listeners.items() if listener.up}
        yield self._gauge(
            "heartbeat_last_seen_timestamp_seconds",
            "When the newest beat of the service was received, on the exporter's clock; 0 before the first.",
            lambda slot: self._epoch(slot.last),
        )
        yield self._gauge(
            "heartbeat_watch_start_timestamp_seconds",
            "Since when this replica has been listening to the service without a break; 0 while it is not.",
            lambda slot: self._epoch(slot.since) if slot.service.bus in up else 0.0,
        )
        yield self._gauge(
            "heartbeat_clock_skew_seconds",
            "Receipt minus the ts of the newest beat; positive: the publisher's clock is behind, or the bus slow.",
            lambda slot: slot.skew,
        )
        yield self._counter("heartbeat_beats", "Beats heard.", lambda slot: slot.beats)
        yield self._counter("heartbeat_lost", "Beats missed, as gaps in i tell.", lambda slot: slot.lost)
        yield self._counter(
            "heartbeat_publisher_restarts", "Times that i went back.", lambda slot: slot.restarts
        )
        invalid = CounterMetricFamily(
            "heartbeat_invalid",
            "Messages on a heartbeat channel that were no beat.",
            labels=[*SERVICE, "reason"],
        )
        for slot in self._wiring.board:
            for reason, count in sorted(slot.invalid.items()):
                invalid.add_metric([slot.service.name, slot.service.bus, reason.value], count)
        yield invalid

    def _settings(self) -> Iterator[Metric]:
        yield self._gauge(
            "heartbeat_interval_seconds",
            "Time between two beats, as this replica's truth says.",
            lambda slot: slot.service.interval,
        )
        yield self._gauge(
            "heartbeat_timeout_seconds",
            "Silence after which the service is missing, as this replica's truth says.",
            lambda slot: slot.service.timeout,
        )

    def _buses(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("heartbeat_bus_up", "1 while the bus is connected and heard.", labels=["bus"])
        reconnects = CounterMetricFamily(
            "heartbeat_bus_reconnects", "Connections to the bus after the first.", labels=["bus"]
        )
        loopback = GaugeMetricFamily(
            "heartbeat_bus_loopback_timestamp_seconds",
            "When the exporter's own beat was last heard back; 0 before the first.",
            labels=["bus"],
        )
        for name, listener in sorted(self._wiring.listeners.items()):
            up.add_metric([name], float(listener.up))
            reconnects.add_metric([name], listener.reconnects)
            loopback.add_metric([name], self._epoch(listener.loopback))
        yield from (up, reconnects, loopback)

    def _truth(self) -> Iterator[Metric]:
        info = InfoMetricFamily("heartbeat_truth", "The truth that runs.")
        if self._wiring.truth is not None:
            info.add_metric([], {"sha256": self._wiring.truth.sha256, "version": self._wiring.truth.version})
        yield info
        yield GaugeMetricFamily(
            "heartbeat_truth_last_reload_successful",
            "1 if the newest truth:doc seen was adopted.",
            value=float(self._wiring.successful),
        )
        yield GaugeMetricFamily(
            "heartbeat_truth_last_reload_success_timestamp_seconds",
            "When a truth was last adopted; 0 before the first.",
            value=self._epoch(self._wiring.adopted_at),
        )
        build = InfoMetricFamily("heartbeat_exporter_build", "What this exporter is.")
        build.add_metric([], {"version": __version__, "python_version": platform.python_version()})
        yield build

    def _gauge(self, name: str, text: str, value: Callable[[Slot], float | None]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=SERVICE)
        for labels, number in self._values(value):
            family.add_metric(labels, number)
        return family

    def _counter(self, name: str, text: str, value: Callable[[Slot], float | None]) -> Metric:
        family = CounterMetricFamily(name, text, labels=SERVICE)
        for labels, number in self._values(value):
            family.add_metric(labels, number)
        return family

    def _values(self, value: Callable[[Slot], float | None]) -> Iterable[tuple[list[str], float]]:
        for slot in self._wiring.board:
            number = value(slot)
            if number is not None:
                yield [slot.service.name, slot.service.bus], number
