"""Reads Healer's own wiring: its beat, and where its events go."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from healer.truth import sources, timing, wiring
from healer.truth.blocks import Block, Environment, Given, first
from healer.truth.model import Monitor

if TYPE_CHECKING:
    from healer.truth.problems import Problems

DEFAULTS = Monitor()


def read_monitor(
    healer: Block, shared: Given[float], environment: Environment, declared: Block, problems: Problems
) -> tuple[Monitor, Given[str]]:
    """Return what the document says about Healer itself, and the bus of its events with the path of that.

    Args:
        healer: Healer's own block.
        shared: The timeout of services that set none.
        environment: Stands in for what the document does not say; SERVICE_ID comes before it.
        declared: The document's `buses`.
        problems: Takes what is wrong.
    """
    block = timing.heartbeat(healer)
    sources.own_source(block)
    access = healer.block("access_points")
    published = wiring.read_entries(access, "publish_to")
    alerts = _published(published, ":alerts", problems)
    beat = _published(published, wiring.SUFFIX, problems)
    given = {
        "name": first(environment.text("SERVICE_ID", "a service's name"), default=DEFAULTS.name),
        "heartbeat_channel": first(
            wiring.read_channel(block, "channel"),
            wiring.read_channel(beat) if beat is not None else None,
            environment.text("HEALER_HEARTBEAT_CHANNEL", "a channel"),
            default=DEFAULTS.heartbeat_channel,
        ),
        "alerts_channel": first(
            wiring.read_channel(alerts) if alerts is not None else None,
            environment.text("ALERT_CHANNEL", "a channel"),
            default=DEFAULTS.alerts_channel,
        ),
        "alerts_bus": wiring.read_bus(alerts) if alerts is not None else _usual_bus(access, declared),
    }
    interval = timing.interval_seconds(block, environment.seconds("HB_INTERVAL_SEC", timing.LONGEST_INTERVAL))
    least = timing.COMFORTABLE * interval.value
    timeout = timing.timeout_seconds(block, Given(max(shared.value, least), shared.path))
    timing.check(block, interval, timeout, problems)
    origins = {name: value.origin for name, value in given.items()}
    monitor = Monitor(
        **{name: value.value for name, value in given.items()},
        interval=interval.value,
        timeout=timeout.value,
        origins=MappingProxyType({**origins, "interval": interval.origin, "timeout": timeout.origin}),
    )
    return monitor, given["alerts_bus"]


def _published(entries: list[Block], suffix: str, problems: Problems) -> Block | None:
    """Return the first entry whose key ends so; note others that lead elsewhere, because they are not used."""
    matching = [entry for entry in entries if str(entry.members.get("key", "")).endswith(suffix)]
    for entry in matching[1:]:
        if suffix == ":alerts" and entry.members != matching[0].members:
            problems.warn(entry.path, f"a second key that ends in {suffix}", "one", "The first one is used.")
    return matching[0] if matching else None


def _usual_bus(access: Block, declared: Block) -> Given[str]:
    """Return the bus of Healer's events where `publish_to` does not name it."""
    subscribed = [wiring.read_bus(entry) for entry in wiring.read_entries(access, "subscribe_to")]
    if wiring.DEFAULT_BUS in declared or not subscribed:
        return Given(wiring.DEFAULT_BUS, "default")
    return next((bus for bus in subscribed if bus.value == wiring.DEFAULT_BUS), subscribed[0])
