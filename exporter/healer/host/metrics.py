"""Shows Prometheus what the last look at a host found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from healer.host.probe import Readings


class HostCollector(Collector):
    """The families `host_*`; a value that is not known is absent, never 0."""

    def __init__(self, host: str, readings: Callable[[], Readings]) -> None:
        self._host = host
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Give each family once."""
        found, host = self._readings(), self._host
        present = GaugeMetricFamily(
            "host_heartbeat_file_present", "1 while the file is there.", labels=["host", "path"]
        )
        modified = GaugeMetricFamily(
            "host_heartbeat_file_modified_timestamp_seconds",
            "When the file last changed (epoch seconds).",
            labels=["host", "path"],
        )
        for path, instant in found.modified.items():
            present.add_metric([host, path], float(instant is not None))
            if instant is not None:
                modified.add_metric([host, path], instant)
        errors = CounterMetricFamily("host_log_errors", "Errors in the log.", labels=["host", "log"])
        for log, count in found.errors.items():
            errors.add_metric([host, log], count)
        skipped = CounterMetricFamily(
            "host_log_skipped_bytes",
            "Bytes of the log that were too many to look at.",
            labels=["host", "log"],
        )
        for log, count in found.skipped.items():
            skipped.add_metric([host, log], count)
        success = GaugeMetricFamily(
            "host_probe_success",
            "1 if it could be looked at; 0: nothing is known of it.",
            labels=["host", "probe", "target"],
        )
        for (probe, target), fine in found.success.items():
            success.add_metric([host, probe, target], float(fine))
        yield from (present, modified, errors, skipped, success)
