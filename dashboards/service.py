"""Service: one of them, from its beats to its objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import frame, kit
from dashboards.kit import Column
from dashboards.promql import LAST_SEEN, STATE, firing, happened

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

SVC = '{svc="$svc"}'
RAW = '{job="heartbeat",svc="$svc"}'
TIMEOUT = f"svc:heartbeat_timeout_seconds:truth{SVC}"
HOUR, DAY, MONTH = (f"svc:heartbeat_available:avg{span}{SVC}" for span in ("1h", "1d", "30d"))

REASONS = {
    "empty": "yellow",
    "too_large": kit.RED,
    "encoding": "purple",
    "json": kit.ORANGE,
    "not_an_object": kit.BLUE,
    "other_service": "dark-red",
    "none": kit.GREY,
}
"""Why a message was no beat; none of them in the colour of what is well."""


def service() -> Dashboard:
    """Return the dashboard."""
    board = frame.dashboard(
        "healer-service", "Healer / Service", "One service: beats, gaps, misses, objective."
    )
    board = board.with_variable(
        frame.variable("svc", "Service", "svc:heartbeat_timeout_seconds:truth", several=False)
    )
    board = board.with_variable(
        frame.choice("slo", "Objective", ["0.99", "0.995", "0.999", "0.9995", "0.9999"], "0.999")
    )
    about = 'alertname=~"Heartbeat.+",alertstate="firing",svc="$svc"'
    board = board.annotation(frame.annotation("Alerts", f"ALERTS{{{about}}}", "{{alertname}}", kit.RED))
    board = board.annotation(
        frame.annotation(
            "Monitoring", firing("HeartbeatBusDown|HealerMiss"), "{{alertname}} {{bus}}", kit.ORANGE
        )
    )
    for number in _numbers():
        board = board.with_panel(number)
    board = board.with_panel(
        kit.lines(
            "Silence",
            "The longest time since the last beat, in each step. Above the timeout it is missing.",
            kit.query(
                f"max_over_time((time() - ({LAST_SEEN}{SVC} > 0))[$__interval:])", "since the last beat"
            ),
            kit.query(TIMEOUT, "timeout"),
            kit.query(f"max by (svc) (heartbeat_interval_seconds{RAW})", "interval"),
            size=(16, 9),
            unit="s",
            colors={"timeout": kit.RED, "interval": kit.GREEN, "since the last beat": kit.BLUE},
            dashed="timeout|interval",
            runbooks=["HeartbeatMiss"],
        )
    )
    board = board.with_panel(
        kit.lines(
            "Beats per second",
            "What was heard over five minutes; dashed is what the truth lets expect.",
            kit.query(f"svc:heartbeat_beats:rate5m{SVC}", "heard"),
            kit.query(f"1 / max by (svc) (heartbeat_interval_seconds{RAW})", "expected"),
            size=(8, 9),
            unit="none",
            colors={"heard": kit.BLUE, "expected": kit.GREEN},
            dashed="expected",
        )
    )
    board = board.with_panel(
        kit.timeline(
            "State",
            "Beating, missing, or not watched by anybody.",
            kit.query(STATE + SVC, "{{svc}}"),
            size=(24, 4),
            words=kit.STATES,
            runbooks=["HeartbeatUnwatched", "HeartbeatFlapping"],
        )
    )
    for graph in _troubles():
        board = board.with_panel(graph)
    board = board.with_panel(
        kit.lines(
            "Availability",
            "Share of the watched time in which it was not missing. Time that nobody watched counts as neither.",
            kit.query(HOUR, "1 hour"),
            kit.query(DAY, "24 hours"),
            kit.query(MONTH, "30 days"),
            kit.query("vector($slo)", "objective"),
            size=(12, 8),
            unit="percentunit",
            least=None,
            most=1,
            colors={"objective": kit.RED},
            dashed="objective",
        )
    )
    return board.with_panel(
        kit.grid(
            "As each replica of the exporter sees it",
            "The newest beat and the longest watch decide.",
            Column("Exporter", label="instance"),
            Column("Bus", label="bus", width=120),
            Column(
                "Last seen",
                f"1000 * max by (instance, bus) (heartbeat_last_seen_timestamp_seconds{RAW} > 0)",
                unit=kit.INSTANT,
                width=160,
                none="never",
            ),
            Column(
                "Listening since",
                f"1000 * max by (instance, bus) (heartbeat_watch_start_timestamp_seconds{RAW} > 0)",
                unit=kit.INSTANT,
                width=160,
                none="not listening",
            ),
            Column("Beats", f"max by (instance, bus) (heartbeat_beats_total{RAW})", width=80),
            size=(12, 8),
        )
    )


def _numbers() -> list[stat.Panel]:
    budget = f"1 - (1 - {MONTH}) / (1 - $slo)"
    return [
        kit.stat(
            "State", "As of now.", STATE + SVC, words=kit.STATES, size=(3, 4), runbooks=["HeartbeatMiss"]
        ),
        kit.stat(
            "Last seen",
            "When its newest beat was received.",
            f"1000 * {LAST_SEEN}{SVC} > 0",
            unit="dateTimeFromNow",
            size=(4, 4),
            none="never",
        ),
        kit.stat("Timeout", "How long it may be silent.", TIMEOUT, unit="s", size=(2, 4)),
        kit.stat(
            "Last missing",
            "When it was last missing, to the minute.",
            f"1000 * svc:heartbeat_missing_timestamp_seconds:max{SVC}",
            unit="dateTimeFromNow",
            size=(3, 4),
            none="never",
        ),
        kit.stat(
            "Misses, 24 h",
            "How often it went missing, counted every four minutes.",
            f"svc:heartbeat_misses:increase1d{SVC}",
            size=(3, 4),
            steps=((None, kit.GREEN), (1, kit.ORANGE), (4, kit.RED)),
            runbooks=["HeartbeatFlapping"],
        ),
        kit.stat(
            "Available, 24 h",
            "Share of the watched time in which it was not missing, worked out every four minutes.",
            DAY,
            unit="percentunit",
            decimals=3,
            size=(3, 4),
            steps=kit.SHARE,
        ),
        kit.stat(
            "30 days",
            "The same over 30 days.",
            MONTH,
            unit="percentunit",
            decimals=3,
            size=(3, 4),
            steps=kit.SHARE,
        ),
        kit.stat(
            "Budget left",
            "Share of the time that the objective lets it be missing in 30 days; below zero, the objective is missed.",
            budget,
            unit="percentunit",
            decimals=0,
            size=(3, 4),
            steps=((None, kit.RED), (0, kit.ORANGE), (0.25, kit.GREEN)),
        ),
    ]


def _troubles() -> list[timeseries.Panel]:
    def grown(name: str, by: str = "svc") -> str:
        return happened(name, by, 'job="heartbeat",svc="$svc"', most="max")

    def counted(name: str) -> str:
        return f"{grown(name)} or 0 * max by (svc) ({name}{RAW})"

    readable = 'label_replace(0 * max(up{job="heartbeat"}), "reason", "none", "", "")'
    return [
        kit.lines(
            "Lost and restarted",
            "Beats that gaps in i tell of, and times that i went back, as the replica that counted most saw them.",
            kit.query(counted("heartbeat_lost_total"), "lost beats"),
            kit.query(counted("heartbeat_publisher_restarts_total"), "restarts"),
            size=(8, 8),
            bars=True,
            colors={"lost beats": kit.ORANGE, "restarts": kit.RED},
            runbooks=["HeartbeatCrashLoop"],
        ),
        kit.lines(
            "Messages that were no beat",
            "What came on its channel and could not be read, by reason. The first of a reason since the exporter began is not"
            " drawn: its counter begins with it.",
            kit.query(f"{grown('heartbeat_invalid_total', 'reason')} or on () {readable}", "{{reason}}"),
            size=(8, 8),
            bars=True,
            colors=REASONS,
        ),
        kit.lines(
            "Clock skew",
            "Receipt minus its time stamp. Positive: its clock is behind, or the bus is slow. Beyond 5 s it is an alert.",
            kit.query(f"max by (svc) (heartbeat_clock_skew_seconds{RAW})", "skew"),
            size=(8, 8),
            unit="s",
            least=None,
            steps=kit.SKEW_LINES,
            colors={"skew": kit.BLUE},
            runbooks=["HeartbeatClockSkew"],
        ),
    ]
