"""Every metric that the sentinel has is documented, and every one documented is there."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from healer.runtime.clock import SystemClock
from healer.sentinel.courier import Courier
from healer.sentinel.deadman import Switch
from healer.sentinel.delivery import Delivery
from healer.sentinel.metrics import Counts, StateCollector
from healer.sentinel.watchdog import Watchdog
from healer.truth.load import parse

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
TRUTH = b"""{"services": {"healer": {"access_points": {"subscribe_to": [{"key": "mesh:heartbeat"}]}}},
    "buses": {"system-redis": {"url": "redis://127.0.0.1:1"}}}"""


class Nowhere:
    """A way to people that leads nowhere."""

    name = "mail"


async def exposed() -> dict[str, tuple[str, frozenset[str]]]:
    """Return each sample's type and labels."""
    clock, registry = SystemClock(), CollectorRegistry()
    counts = Counts(registry)
    watchdog = Watchdog(clock, 30.0)
    delivery = Delivery(clock, watchdog, lambda _: None)
    await delivery.adopt(parse(TRUTH, env={}).truth)
    courier = Courier(Nowhere(), clock, counts.notification)
    counts.channel(courier.name)
    switch = Switch(Path("/url"), 60.0, watchdog, clock, counts.ping)
    registry.register(StateCollector(delivery, watchdog, clock, [courier], switch))
    text = generate_latest(registry).decode()
    await delivery.close()
    return {
        sample.name: ("gauge" if family.type == "info" else family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_the_metrics_are_those_documented() -> None:
    rows = re.findall(r"^\| `(sentinel_\w+)` \| (\w+) \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE)
    documented = {
        name: (kind, frozenset(label.strip() for label in labels.split(",") if label.strip()))
        for name, kind, labels in rows
    }
    assert await exposed() == documented
