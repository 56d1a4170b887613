"""The alerts beside HeartbeatMiss: when each fires, when it must not, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.bundle.conftest import FORMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bundle.conftest import Timeline

STALE = "stale"
RUNBOOKS = "https://github.com/healer-monitoring/healer/blob/main/docs/runbooks"


def alive(now: float) -> float:
    """An own beat that has just come back; 0 is never."""
    return now


def test_a_miss_says_who_how_late_and_what_was_allowed(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.service("vexy_ai", watch=1, seen=lambda now: min(now, 60.0), bus="market-redis")
    line.alert(
        185,
        "HeartbeatMiss",
        {"svc": "vexy_ai", "bus": "market-redis", "severity": "warning", "team": "ai"},
        {
            "summary": "Service vexy_ai has stopped beating.",
            "description": "No heartbeat of vexy_ai on market-redis for 2m 5s; its timeout is 2m 0s.",
            "late_sec": "125.0",
            "timeout_sec": "120",
            "evaluated_at": "185.000",
            "evaluation_interval_sec": "5",
            "runbook_url": f"{RUNBOOKS}/HeartbeatMiss.md",
        },
    )
    line.hold()


def test_the_watchdog_carries_the_time_and_the_names_of_the_missing(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=120)
    line.service("rss_agg", watch=1, seen=60)
    line.alert(
        100,
        "Watchdog",
        {"severity": "none"},
        {
            "summary": "The alerting pipeline works.",
            "description": "Always firing; its absence means that Prometheus or Alertmanager is gone.",
            "beat": "100.000",
            "missing": "rss_agg\n",
            "returned": "",
            "runbook_url": f"{RUNBOOKS}/Watchdog.md",
        },
    )
    line.hold()


def test_the_watchdog_proves_a_return_by_a_beat_for_a_quarter_of_an_hour(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=1200)
    line.service("rss_agg", watch=1, seen=lambda now: 60.0 if now < 200 else now, replica="a")
    # Another replica's stamp of the last beat, which is no newer one.
    line.service("rss_agg", watch=1, seen=lambda now: 60.0 if now < 150 else 60.4, replica="b")
    returned = "svc:heartbeat_returned_timestamp_seconds"
    for at in (190, 1100):
        line.expect(at, returned, {})
    for at in (205, 1090):  # at 1095 Prometheus 2 says so and 3 does not: its windows are open to the left
        line.expect(at, returned, {f'{returned}{{svc="rss_agg"}}': at})
    line.expect(
        205,
        'ALERTS{alertname="Watchdog"}',
        {'ALERTS{alertname="Watchdog", alertstate="firing", severity="none"}': 1},
    )
    line.hold()


# HealerMiss


def test_a_prometheus_that_has_just_started_waits_for_healer(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=120)
    line.firing(30, "HealerMiss")
    line.firing(35, "HealerMiss", '{svc="healer"}')
    line.hold()


def test_healer_is_missing_when_every_exporter_is_gone(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    for name, death in (("a", 60), ("b", 100)):
        line.exporter(
            name,
            up=lambda now, death=death: float(now < death),
            loopback=lambda now, death=death: now if now < death else STALE if now == death else None,
        )
    line.firing(125, "HealerMiss")
    line.alert(
        130,
        "HealerMiss",
        {"svc": "healer", "severity": "critical"},
        {
            "summary": "Healer itself has stopped beating.",
            "description": "For 35s no exporter has heard Healer's own beat. No service is watched, and no HeartbeatMiss will come.",
            "late_sec": "35.0",
            "timeout_sec": "30",
            "evaluated_at": "130.000",
            "evaluation_interval_sec": "5",
            "runbook_url": f"{RUNBOOKS}/HealerMiss.md",
        },
    )
    line.hold()


def test_healer_is_missing_when_its_own_beat_is_late_on_every_bus(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.exporter("a", loopback=lambda now: min(now, 60.0))
    line.exporter("b", loopback=lambda now: min(now, 100.0))
    line.add('heartbeat_bus_up{job="heartbeat", instance="a", bus="system-redis"}', 0)
    line.firing(130, "HealerMiss")
    line.alert(
        135,
        "HealerMiss",
        {"svc": "healer", "severity": "critical"},
        {
            "summary": "Healer itself has stopped beating.",
            "description": (
                "For 35s no exporter has heard Healer's own beat; bus system-redis is down."
                " No service is watched, and no HeartbeatMiss will come."
            ),
            "late_sec": "35.0",
            "timeout_sec": "30",
            "evaluated_at": "135.000",
            "evaluation_interval_sec": "5",
            "runbook_url": f"{RUNBOOKS}/HealerMiss.md",
        },
    )
    line.hold()


def test_healer_scraped_slowly_is_not_missing(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600, step=60)
    line.exporter("a", loopback=lambda now: max(0.0, now - 9))
    for at in range(60, 600, 5):
        line.firing(at, "HealerMiss")
    line.hold()


def test_healer_that_knows_no_bus_yet_is_alive(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=300, step=30)
    line.exporter("a")
    for at in range(0, 300, 5):
        line.firing(at, "HealerMiss")
    line.hold()


def test_healer_that_knew_no_bus_was_alive_until_its_last_scrape(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=400)
    line.exporter("a", up=lambda now: float(now < 300))
    line.firing(325, "HealerMiss")
    line.firing(330, "HealerMiss", '{svc="healer"}')
    line.hold()


def test_healer_ends_its_miss_with_the_first_beat(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.exporter("a", loopback=lambda now: min(now, 60.0) if now < 150 else now)
    line.firing(145, "HealerMiss", '{svc="healer"}')
    line.firing(150, "HealerMiss")
    line.hold()


def test_a_healer_that_went_unseen_is_missed_within_a_minute(timeline: Callable[..., Timeline]) -> None:
    # Nobody marks its samples stale when Prometheus was down at that time: they stand for five minutes.
    line = timeline(end=240)
    line.exporter("a", up=lambda now: float(now <= 60), loopback=lambda now: now if now <= 60 else None)
    line.firing(120, "HealerMiss")
    line.firing(125, "HealerMiss", '{svc="healer"}')
    line.hold()


def test_a_healer_that_knew_no_bus_and_went_unseen_is_missed_within_a_minute(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    line.exporter("a", up=lambda now: 1.0 if now <= 60 else None)
    line.firing(120, "HealerMiss")
    line.firing(125, "HealerMiss", '{svc="healer"}')
    line.hold()


# HeartbeatBusDown, HeartbeatUnwatched


def bus_up(line: Timeline, name: str, replica: str, up: Callable[[float], float | None]) -> None:
    """What a replica says of a bus."""
    line.add(f'heartbeat_bus_up{{job="heartbeat", instance="{replica}", bus="{name}"}}', up)


def test_a_bus_is_down_when_no_replica_hears_it(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    bus_up(line, "system-redis", "a", lambda now: float(now < 60))
    bus_up(line, "system-redis", "b", lambda now: float(now < 100))
    bus_up(line, "market-redis", "a", lambda _: 1.0)
    line.firing(110, "HeartbeatBusDown")
    line.firing(115, "HeartbeatBusDown", '{bus="system-redis"}')
    line.hold()


def test_a_replica_that_went_unseen_does_not_hide_that_a_bus_is_down(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=240)
    bus_up(line, "system-redis", "a", lambda now: 1.0 if now <= 60 else None)
    bus_up(line, "system-redis", "b", lambda now: 0.0 if now >= 60 else None)
    line.firing(130, "HeartbeatBusDown")
    line.firing(145, "HeartbeatBusDown", '{bus="system-redis"}')
    line.hold()


def test_a_service_nobody_listens_to_is_unwatched(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=300)
    line.exporter("a", loopback=alive)
    bus_up(line, "system-redis", "a", lambda _: 1.0)
    line.service("rss_agg", watch=lambda now: 1.0 if now < 100 else 0.0, seen=1)
    line.firing(155, "HeartbeatUnwatched")
    line.firing(160, "HeartbeatUnwatched", '{bus="system-redis", svc="rss_agg"}')
    line.hold()


def test_a_service_whose_watch_never_outlasts_its_warm_up_is_unwatched(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=300)
    line.exporter("a", loopback=alive)
    line.service("rss_agg", watch=lambda now: 1.0 if now < 100 else now // 20 * 20, seen=alive)
    line.firing(195, "HeartbeatUnwatched")
    line.firing(210, "HeartbeatUnwatched", '{bus="system-redis", svc="rss_agg"}')
    line.hold()


def back(at: float, column: Callable[[float], float]) -> Callable[[float], float | None]:
    """A column that a new Prometheus sees from `at` on."""
    return lambda now: column(now) if now >= at else None


@pytest.mark.parametrize("form", FORMS)
def test_who_was_unwatched_before_prometheus_was_down_and_is_watched_since_is_not_unwatched(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=400)
    since = 'svc:heartbeat_unwatched_since_timestamp_seconds:latched{svc="rss_agg", recorded="before"}'
    line.add(since, lambda now: 30.0 if 30 <= now <= 60 else None)
    line.exporter("a", loopback=back(65, alive))
    line.service("rss_agg", watch=back(65, lambda _: 1.0), seen=back(65, alive))
    for at in range(65, 400, 5):
        line.firing(at, "HeartbeatUnwatched")
    line.hold()


@pytest.mark.parametrize("form", FORMS)
def test_since_when_a_service_is_unwatched_does_not_go_back_to_before_prometheus_was_down(
    timeline: Callable[..., Timeline],
) -> None:
    line = timeline(end=400)
    since = "svc:heartbeat_unwatched_since_timestamp_seconds:latched"
    line.add(f'{since}{{svc="rss_agg"}}', lambda now: 30.0 if 30 <= now <= 60 else None)
    line.exporter("a", loopback=back(200, alive))
    line.service(
        "rss_agg",
        watch=back(200, lambda now: 1.0 if now < 210 else 0.0),
        seen=back(200, alive),
    )
    line.expect(240, since, {f'{since}{{svc="rss_agg"}}': 210.0})
    line.hold()


def test_an_exporter_restart_leaves_nobody_unwatched(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=400)
    line.exporter(
        "a", up=lambda now: float(not 60 <= now < 75), loopback=lambda now: 0.0 if 60 <= now < 75 else now
    )
    line.service("rss_agg", watch=lambda now: 1.0 if now < 60 else None if now < 75 else 75.0, seen=alive)
    for at in range(0, 400, 5):
        line.firing(at, "HeartbeatUnwatched")
    line.hold()


def test_a_lost_bus_stands_for_its_services_and_for_the_warm_up_after_it(
    timeline: Callable[..., Timeline],
) -> None:
    def up(now: float) -> bool:
        return not 60 <= now < 900

    line = timeline(end=1200)
    line.exporter("a", loopback=alive)
    bus_up(line, "market-redis", "a", lambda now: float(up(now)))
    line.service(
        "vexy_ai",
        watch=lambda now: 0.0 if not up(now) else 1.0 if now < 60 else 900.0,
        seen=alive,
        bus="market-redis",
    )
    line.service("rss_agg", watch=lambda now: 1.0 if now < 60 else 0.0, seen=1)
    line.firing(75, "HeartbeatBusDown", '{bus="market-redis"}')
    for at in (60, 130, 300, 895, 905, 1000, 1200):
        unwatched = ['{bus="system-redis", svc="rss_agg"}'] if at > 120 else []
        line.firing(at, "HeartbeatUnwatched", *unwatched)
    line.hold()


def test_a_missing_healer_stands_for_all_services(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=1200)
    line.exporter(
        "a",
        up=lambda now: float(not 60 <= now < 900),
        loopback=lambda now: now if not 60 <= now < 900 else STALE if now == 60 else None,
    )
    line.service(
        "vexy_ai",
        watch=lambda now: 1.0 if now < 60 else STALE if now == 60 else None if now < 900 else 900.0,
        seen=lambda now: now if not 60 <= now < 900 else STALE if now == 60 else None,
        bus="market-redis",
    )
    line.firing(600, "HealerMiss", '{svc="healer"}')
    for at in range(60, 1200, 15):
        line.firing(at, "HeartbeatUnwatched")
    line.never_missing(until=1200)
    line.hold()


# The others


def test_a_service_that_keeps_missing_and_returning_flaps(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600, counted=True)
    line.service("rss_agg", watch=1, seen=lambda now: now // 60 * 60 + (now % 60 if now < 60 else 0))
    line.firing(160, "HeartbeatFlapping")
    line.firing(220, "HeartbeatFlapping", '{bus="system-redis", svc="rss_agg"}')
    line.hold()


def test_a_publisher_that_keeps_restarting_is_in_a_crash_loop(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=900, counted=True)
    line.service("rss_agg", watch=1, seen=alive)
    for replica in ("a", "b"):
        line.add(
            f'heartbeat_publisher_restarts_total{{job="heartbeat", instance="{replica}", svc="rss_agg", bus="system-redis"}}',
            lambda now: now // 200,
        )
    line.firing(420, "HeartbeatCrashLoop")
    line.firing(620, "HeartbeatCrashLoop", '{bus="system-redis", svc="rss_agg"}')
    line.missing(620)
    line.hold()


def test_a_publisher_with_a_wrong_clock_is_named(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    line.service("rss_agg", watch=1, seen=alive)
    line.add(
        'heartbeat_clock_skew_seconds{job="heartbeat", instance="a", svc="rss_agg", bus="system-redis"}',
        -3600,
    )
    line.firing(295, "HeartbeatClockSkew")
    line.firing(310, "HeartbeatClockSkew", '{bus="system-redis", svc="rss_agg"}')
    line.hold()


def test_an_exporter_ahead_of_prometheus_is_named(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    line.exporter("a", loopback=lambda now: now + 20)
    line.firing(310, "HeartbeatClockSkew", '{bus="system-redis", svc="healer"}')
    line.hold()


def drifting(line: Timeline, shas: dict[str, str], reloaded: float = 1) -> None:
    """Exporters with their truths, which show all services of the rules."""
    for name, sha in shas.items():
        line.exporter(name, loopback=alive)
        line.add(
            f'heartbeat_truth_info{{job="heartbeat", instance="{name}", sha256="{sha}", version="1"}}', 1
        )
        line.add(f'heartbeat_truth_last_reload_successful{{job="heartbeat", instance="{name}"}}', reloaded)


def test_an_exporter_with_another_truth_drifts(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    drifting(line, {"a": "ab" * 32, "b": "cd" * 32})
    line.firing(295, "HeartbeatTruthDrift")
    line.firing(305, "HeartbeatTruthDrift", "{}")
    line.hold()


def test_an_exporter_without_a_truth_drifts(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    line.exporter("a")
    line.firing(305, "HeartbeatTruthDrift", "{}")
    line.hold()


def test_an_exporter_that_could_not_load_the_newest_truth_drifts(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    drifting(line, {"a": "ab" * 32}, reloaded=0)
    line.firing(305, "HeartbeatTruthDrift", "{}")
    line.hold()


def test_a_service_that_no_exporter_ever_showed_drifts(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    drifting(line, {"a": "ab" * 32})
    line.service("rss_agg", watch=1, seen=alive)
    line.firing(305, "HeartbeatTruthDrift", "{}")
    line.hold()


def test_exporters_with_the_rules_truth_do_not_drift(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=600)
    drifting(line, {"a": "ab" * 32, "b": "ab" * 32})
    line.service("rss_agg", watch=1, seen=alive)
    line.service("vexy_ai", watch=1, seen=alive, bus="market-redis")
    line.firing(600, "HeartbeatTruthDrift")
    line.hold()


def test_a_sentinel_that_does_not_answer_is_down(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.add('up{job="sentinel", instance="a"}', lambda now: float(now < 60))
    line.add('up{job="sentinel", instance="b"}', 1)
    line.firing(85, "SentinelDown")
    line.firing(90, "SentinelDown", "{}")
    line.hold()


def test_a_sentinel_that_nobody_scrapes_is_down(timeline: Callable[..., Timeline]) -> None:
    line = timeline(end=240)
    line.firing(25, "SentinelDown")
    line.firing(30, "SentinelDown", "{}")
    line.hold()
