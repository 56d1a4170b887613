"""Services shared out over exporters that know nothing of each other: no rule takes one shard for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bundle.conftest import SHA
from tests.bundle.test_misses import alive, beats

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Timeline

STALE = "stale"


def until(end: float, value: Callable[[float], float] | float) -> Callable[[float], float | str | None]:
    """Show something up to the death of the exporter that shows it."""

    def shown(now: float) -> float | str | None:
        if now >= end:
            return STALE if now == end else None
        return value(now) if callable(value) else value

    return shown


def shards(line: Timeline, *, second: float = 10_000.0, bus: str = "system-redis") -> None:
    """Two exporters on one bus that run the truth of these rules; the second goes at a time."""
    for name, end in (("a", 10_000.0), ("b", second)):
        line.exporter(name, up=lambda now, end=end: float(now < end), loopback=until(end, alive), bus=bus)
        labels = f'{{job="heartbeat", instance="{name}", bus="{bus}"}}'
        line.add(f"heartbeat_bus_up{labels}", until(end, 1.0))
        line.add(
            f'heartbeat_truth_info{{job="heartbeat", instance="{name}", sha256="{SHA}"}}', until(end, 1.0)
        )


def test_a_death_is_seen_by_its_shard_and_the_other_says_nothing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=900)
    shards(line)
    line.service("rss_agg", watch=1, seen=beats(300), replica="a")
    line.service("vexy_ai", watch=1, seen=beats(900), replica="b", bus="market-redis")
    line.never_missing(until=330)
    line.missing(335, "rss_agg")
    line.missing(900, "rss_agg")
    for alert in ("HeartbeatTruthDrift", "HeartbeatUnwatched", "HeartbeatBusDown", "HealerMiss"):
        line.firing(900, alert)
    line.hold()


def test_a_shard_without_an_exporter_is_unwatched_and_not_missing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=1200)
    shards(line, second=300)
    line.service("rss_agg", watch=1, seen=beats(600), replica="a")
    line.service("vexy_ai", watch=until(300, 1.0), seen=until(300, alive), replica="b", bus="market-redis")
    line.missing(600)
    line.missing(635, "rss_agg")
    line.missing(1200, "rss_agg")
    line.firing(1200, "HeartbeatUnwatched", '{svc="vexy_ai", bus="market-redis", team="ai"}')
    line.firing(1200, "HealerMiss")
    line.firing(1200, "HeartbeatBusDown")
    line.hold()


def test_a_shard_that_is_deaf_makes_no_miss_and_hides_none_of_the_other(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=900)
    for name, up in (("a", 1.0), ("b", lambda now: float(now <= 300))):
        line.exporter(
            name, loopback=alive if name == "a" else lambda now: min(now, 300.0), bus="market-redis"
        )
        line.add(f'heartbeat_bus_up{{job="heartbeat", instance="{name}", bus="market-redis"}}', up)
    line.service("rss_agg", watch=1, seen=beats(600), replica="a")
    line.service(
        "vexy_ai", watch=lambda now: float(now <= 300), seen=beats(300), replica="b", bus="market-redis"
    )
    line.missing(600)
    line.missing(635, "rss_agg")
    line.firing(900, "HeartbeatBusDown")
    line.hold()


def test_a_miss_of_a_shard_holds_while_its_exporter_is_gone(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=1200)
    shards(line, second=600)
    line.service("rss_agg", watch=until(600, 1.0), seen=until(600, beats(300)), replica="b")
    line.missing(500, "rss_agg")
    line.missing(1200, "rss_agg")
    line.hold()
