"""Every metric that the exporter has is documented, and every one documented is there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from healer.exporter.metrics import HeartbeatCollector
from healer.exporter.wiring import Wiring
from healer.runtime.clock import Anchor, SystemClock
from healer.truth.load import parse

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
TRUTH = b"""{"services": {"healer": {"access_points": {"subscribe_to": [
    {"bus": "b", "key": "say \\"hi\\"\\\\:heartbeat"}]}}}, "buses": {"b": {"url": "redis://127.0.0.1:1"}}}"""


async def exposed() -> dict[str, tuple[str, frozenset[str]]]:
    """Return each sample's type and labels, of an exporter that has heard a beat and some garbage."""
    clock = SystemClock()
    wiring = Wiring("replica", clock)
    await wiring.adopt(parse(TRUTH, env={}).truth)
    for slot in wiring.board:
        for payload in (b'{"i":1,"ts":1}', b"[]"):
            slot.hear(payload, clock.monotonic(), clock.wall())
        slot.present = True
    collector = HeartbeatCollector(wiring, Anchor(clock), {200: 1})
    registry = CollectorRegistry()
    registry.register(collector)
    text = b"".join(collector.services(openmetrics=True)).decode() + generate_latest(registry).decode()
    holding = asyncio.create_task(wiring.run())
    await asyncio.sleep(0)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    return {
        sample.name: ("gauge" if family.type == "info" else family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    rows = re.findall(r"^\| `(heartbeat_\w+)` \| (\w+) \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE)
    return {
        name: (kind, frozenset(label.strip() for label in labels.split(",") if label.strip()))
        for name, kind, labels in rows
    }


async def test_the_metrics_are_those_documented() -> None:
    assert await exposed() == documented()
