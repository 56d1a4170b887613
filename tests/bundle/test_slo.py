"""What is recorded over hours, days and weeks: only watched time counts, and nothing counts twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest
import yaml
from tests.bundle.conftest import Timeline, service, truth

from healer.bundle import Settings, render, shape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from healer.stack.servers import Servers

DAY = 86400.0
HOUR = 3600.0
AVAILABLE = 'svc:heartbeat_available:bool{svc="rss_agg"}'
MISSING = 'svc:heartbeat_missing:bool{svc="rss_agg"}'
TRUTH = 'svc:heartbeat_timeout_seconds:truth{svc="rss_agg", bus="system-redis", severity="critical"}'


@pytest.fixture
def slow(example_bundle: Path, servers: Servers) -> Callable[..., Timeline]:
    """A time line for the slow groups alone: what the fast group recorded is given."""

    def start(*, end: float, step: float = 5.0, evaluation: float = 240.0, rules: str = "") -> Timeline:
        path = example_bundle / "rules" / (rules or "heartbeat-slo.rules.yml")
        line = Timeline([path], servers.promtool.path, step=step, end=end)
        line.evaluation = evaluation
        return line

    return start


def recorded(line: Timeline, at: float, name: str, *values: float) -> None:
    """A recorded series has this value for the service, or none."""
    line.expect(
        at, f"svc:heartbeat_{name}", {f'svc:heartbeat_{name}{{svc="rss_agg"}}': value for value in values}
    )


def test_time_that_nobody_watched_counts_as_neither_up_nor_down(slow: Callable[..., Timeline]) -> None:
    def available(now: float) -> float | None:
        return 1.0 if 240 < now <= 2040 else 0.0 if 3240 < now <= 3840 else None

    line = slow(end=DAY + 2 * HOUR)
    line.add(TRUTH, 30)
    line.add(AVAILABLE, available)
    recorded(line, 240, "available:avg1h")
    recorded(line, 2160, "available:avg1h", 1.0)
    recorded(line, 3120, "available:avg1h", 1.0)
    recorded(line, 3840, "available:avg1h", 0.75)
    recorded(line, 6000, "available:avg1h", 0.0)
    recorded(line, 7680, "available:avg1h")
    recorded(line, 7680, "available:avg1d", 0.75)
    recorded(line, DAY + 2400, "available:avg1d", 0.0)
    recorded(line, DAY + 2 * HOUR, "available:avg1d")
    line.hold()


def test_thirty_days_are_counted_by_whole_hours(slow: Callable[..., Timeline]) -> None:
    def available(now: float) -> float | None:
        day = now / DAY
        return 0.0 if day <= 5 or 20 < day <= 24 else None if day <= 11 else 1.0 if day <= 27 else None

    line = slow(end=40 * DAY, step=60, evaluation=HOUR)
    line.add(TRUTH, 30)
    line.add(AVAILABLE, available)
    recorded(line, 40 * DAY, "available:avg30d", 0.75)
    line.hold()


def test_before_the_first_hour_is_over_thirty_days_are_the_last_day(
    slow: Callable[..., Timeline], example_bundle: Path, tmp_path: Path
) -> None:
    document = yaml.safe_load((example_bundle / "rules" / "heartbeat-slo.rules.yml").read_text())
    document["groups"] = [group for group in document["groups"] if group["name"] != "heartbeat-slo-hourly"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document))
    line = slow(end=720, rules=str(tmp_path / "rules.yml"))
    line.add(TRUTH, 30)
    line.add(AVAILABLE, lambda now: None if now <= 240 else float(now <= 540))
    recorded(line, 720, "available:avg30d", 60 / 96)
    line.hold()


def test_each_miss_counts_once_wherever_between_two_evaluations_it_begins_and_ends(
    slow: Callable[..., Timeline],
) -> None:
    begins = [*range(300, 3600, 65), 7200, 7230, 9000]

    def missing(now: float) -> float:
        return float(any(begin <= now < begin + 10 for begin in begins))

    line = slow(end=DAY + 2 * HOUR)
    line.add(TRUTH, 30)
    line.add(MISSING, missing)
    recorded(line, 240, "misses:increase1d", 0)
    recorded(line, 7200, "misses:increase1d", len(begins) - 2)
    recorded(line, 9120, "misses:increase1d", len(begins))
    recorded(line, DAY + HOUR + 240, "misses:increase1d", 3)
    line.hold()


@pytest.mark.parametrize("every", [30, 60])
def test_each_miss_counts_once_also_where_states_are_evaluated_seldom_because_services_are_many(
    slow: Callable[..., Timeline], tmp_path: Path, every: int
) -> None:
    with mock.patch.object(shape, "LEISURELY", ((0, every),)):
        bundle = render(truth(service("rss_agg")), Settings())
    (tmp_path / "rules.yml").write_text(bundle["rules/heartbeat-slo.rules.yml"])
    begins = [*range(every, 3600, 2 * every), 7200]

    def missing(now: float) -> float | None:
        state = any(begin <= now < begin + every for begin in begins)
        return float(state) if now % every == every - 10 else None

    line = slow(end=2 * HOUR + 720, rules=str(tmp_path / "rules.yml"))
    line.add(TRUTH, 30)
    line.add(MISSING, missing)
    recorded(line, 2 * HOUR, "misses:increase1d", len(begins) - 1)
    recorded(line, 2 * HOUR + 480, "misses:increase1d", len(begins))
    line.hold()


def test_the_last_miss_is_remembered_and_one_that_never_was_is_absent(slow: Callable[..., Timeline]) -> None:
    line = slow(end=2 * HOUR, evaluation=60)
    line.add(TRUTH, 30)
    line.add(MISSING, lambda now: float(1000 <= now < 1025))
    recorded(line, 960, "missing_timestamp_seconds:max")
    recorded(line, 1020, "missing_timestamp_seconds:max", 1020)
    line.expect(7200, "time() - svc:heartbeat_missing_timestamp_seconds:max", {'{svc="rss_agg"}': 6180})
    line.hold()


def test_a_service_taken_out_of_truth_has_no_numbers(slow: Callable[..., Timeline]) -> None:
    line = slow(end=1200, evaluation=60)
    line.add(TRUTH, lambda now: 30.0 if now < 600 else "stale" if now == 600 else None)
    line.add(AVAILABLE, lambda now: float(now < 300) if now < 600 else None)
    line.add(MISSING, lambda now: float(now >= 300) if now < 600 else None)
    line.add(
        'heartbeat_beats_total{job="heartbeat", instance="a", svc="rss_agg", bus="system-redis"}',
        lambda now: now / 10,
    )
    for name in ("available:avg1h", "available:avg1d", "available:avg30d", "misses:increase1d"):
        line.expect(540, f"count(svc:heartbeat_{name})", {"{}": 1})
        recorded(line, 660, name)
    for name in ("missing_timestamp_seconds:max", "beats:rate5m"):
        line.expect(540, f"count(svc:heartbeat_{name})", {"{}": 1})
        recorded(line, 660, name)
    line.hold()


def test_beats_per_second_are_those_of_the_replica_that_heard_most(slow: Callable[..., Timeline]) -> None:
    line = slow(end=1200, evaluation=60)
    line.add(TRUTH, 30)
    for replica, every in (("a", 8.0), ("b", 16.0)):
        labels = f'{{job="heartbeat", instance="{replica}", svc="rss_agg", bus="system-redis"}}'
        line.add(f"heartbeat_beats_total{labels}", lambda now, every=every: now / every)
    recorded(line, 1200, "beats:rate5m", 0.125)
    line.hold()


def test_a_missing_service_is_down_while_it_is_watched_and_unknown_while_not(
    timeline: Callable[..., Timeline],
) -> None:
    def gone(now: float) -> str | None:
        return "stale" if now == 1680 else None

    line = timeline(end=3600, step=60, counted=True)
    line.evaluation = 240
    line.service(
        "vexy_ai",
        watch=lambda now: 1.0 if now < 1680 else gone(now) if now < 2400 else 2400.0,
        seen=lambda now: (
            min(now, 960.0) if now < 1680 else gone(now) if now < 2400 else float(now >= 3600) * now
        ),
        bus="market-redis",
    )
    up, unwatched, down = range(240, 1200, 240), range(1680, 2640, 240), range(1200, 3600, 240)
    for at in range(240, 3601, 240):
        series = 'svc:heartbeat_available:bool{svc="vexy_ai"}'
        known = {} if at in unwatched else {series: float(at in up or at == 3600)}
        line.expect(at, "svc:heartbeat_available:bool", known)
    line.missing(2160, "vexy_ai")
    ups, downs = len(up) + 1, len(set(down) - set(unwatched))
    expected = {'svc:heartbeat_available:avg1h{svc="vexy_ai"}': ups / (ups + downs)}
    line.expect(3600, "svc:heartbeat_available:avg1h", expected)
    line.hold()
