"""The exporter's metrics that do not grow with the services, and the stream of all of them at a scrape.

Instants leave as epoch seconds, never as ages: Prometheus subtracts. All names and labels are documented in
docs/metrics.md, which a test compares with what is yielded.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from healer import __version__
from healer.exporter.columns import Columns
from healer.exporter.families import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from healer.exporter.wiring import Wiring
    from healer.runtime.clock import Anchor
    from healer.truth.model import Truth


class HeartbeatCollector(Collector):
    """Yields the `heartbeat_*` families of one exporter, in two parts."""

    def __init__(self, wiring: Wiring, anchor: Anchor, posted: Mapping[int, int]) -> None:
        """Make the collector.

        Args:
            wiring: What runs.
            anchor: Turns its instants into epoch seconds.
            posted: Requests that were to post a beat, by the status of the answer.
        """
        self._posted = posted
        self._wiring = wiring
        self._anchor = anchor
        self._columns: Columns | None = None
        self._rendered: Truth | None = None

    def services(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Yield the text of the families with a sample per service, in slices; the event loop runs between them."""
        self._anchor.check()
        if self._columns is None or self._rendered is not self._wiring.truth:
            self._columns, self._rendered = Columns(self._wiring.board), self._wiring.truth
        up = frozenset(name for name, listener in self._wiring.listeners.items() if listener.up)
        yield from self._columns.render(Moment(self._anchor.epoch(0.0), up), openmetrics=openmetrics)

    def collect(self) -> Iterator[Metric]:
        """Yield the other families; called by prometheus_client at each scrape."""
        yield from self._buses()
        yield from self._truth()

    def _epoch(self, instant: float | None) -> float:
        return 0.0 if instant is None else self._anchor.epoch(instant)

    def _buses(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("heartbeat_bus_up", "1 while the bus is connected and heard.", labels=["bus"])
        reconnects = CounterMetricFamily(
            "heartbeat_bus_reconnects", "Connections to the bus after the first.", labels=["bus"]
        )
        failures = CounterMetricFamily(
            "heartbeat_bus_failures",
            "Times that the bus was lost or could not be heard, by what was the matter.",
            labels=["bus", "reason"],
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
            for reason, count in listener.faults.counts.items():
                failures.add_metric([name, reason.value], count)
        yield from (up, reconnects, failures, loopback)
        posted = CounterMetricFamily("heartbeat_push_requests", "Beats posted, by answer.", labels=["code"])
        for status, count in sorted(self._posted.items()):
            posted.add_metric([str(status)], count)
        yield posted

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
        shard = InfoMetricFamily(
            "heartbeat_exporter_shard", "Which part of the services this exporter watches."
        )
        shard.add_metric([], {"shard": str(self._wiring.shard.number), "of": str(self._wiring.shard.count)})
        yield shard
