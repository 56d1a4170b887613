"""Heartbeats: the fleet at a glance, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import frame, kit
from dashboards.kit import Column
from dashboards.promql import (
    BEATING,
    LAST_SEEN,
    MISSING,
    OURS,
    PINNED,
    SKEW,
    STATE,
    TIMELINE,
    TRUTH,
    UNWATCHED,
    WORST,
    chosen,
    counted,
    firing,
)

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, table
    from grafana_foundation_sdk.builders.dashboard import Dashboard

SERVICE_URL = (
    "/d/healer-service?var-datasource=${datasource}&var-svc=${__value.raw:percentencode}&${__url_time_range}"
)
FLEET_POINTS = 120
"""What adds up over the whole fleet is asked for so many moments, whatever the width: each costs by the services."""

CONSTANTS = "svc:heartbeat_timeout_seconds:truth"
MARKED = f'{firing("HeartbeatMiss")} and on (svc) topk(50, count_over_time(ALERTS{{alertname="HeartbeatMiss",alertstate="firing",bus=~"$bus",severity=~"$severity",team=~"$team"}}[$__range:$__interval] @ end()))'


def heartbeats() -> Dashboard:
    """Return the dashboard."""
    board = frame.dashboard(
        "healer-heartbeats", "Healer / Heartbeats", "Who beats, who is missing, and since when."
    )
    for name, text in (("bus", "Bus"), ("severity", "Severity"), ("team", "Team")):
        board = board.with_variable(frame.variable(name, text, CONSTANTS))
    board = board.with_variable(frame.choice("top", "Rows", ["20", "50", "100", "500"], "20"))
    board = board.annotation(frame.annotation("Misses", MARKED, "{{svc}} missing", kit.RED))
    board = board.annotation(
        frame.annotation(
            "Monitoring", firing("HeartbeatBusDown|HealerMiss"), "{{alertname}} {{bus}}", kit.ORANGE
        )
    )
    for number in _numbers():
        board = board.with_panel(number)
    board = board.with_panel(_worst())
    board = board.with_panel(
        kit.timeline(
            "Worst services over time",
            "The 15 services that were longest not well in this range. Gaps: Prometheus was down.",
            kit.query(TIMELINE, "{{svc}}"),
            size=(16, 11),
            words=kit.STATES,
            runbooks=["HeartbeatMiss"],
        )
    ).with_panel(_alerts())
    board = board.with_panel(
        kit.lines(
            "Services by state",
            "How many of the chosen services were in each state.",
            *(kit.query(counted(state), text) for state, (text, _) in kit.STATES.items()),
            size=(8, 8),
            stacked=True,
            points=FLEET_POINTS,
            colors=dict(kit.STATES.values()),
        )
    )
    rate = f"sum by (bus) (svc:heartbeat_beats:rate5m * on (svc) group_left (bus) {PINNED} ^ 0)"
    due = f'sum(1 / max by (svc, bus) (heartbeat_interval_seconds{{job="heartbeat"}} @ end()) and on (svc, bus) {PINNED})'
    return board.with_panel(
        kit.lines(
            "Beats per second",
            "What was heard on each bus over five minutes; dashed is what the truth lets expect.",
            kit.query(rate, "{{bus}}"),
            kit.query(due, "expected"),
            size=(8, 8),
            unit="none",
            stacked=True,
            points=FLEET_POINTS,
            colors={"expected": kit.GREY},
            dashed="expected",
        )
    ).with_panel(
        kit.lines(
            "Clock skew",
            "Receipt minus the publisher's time stamp, of the 10 clocks that were furthest off. Positive: its clock is"
            " behind, or the bus is slow. Skew decides nothing; beyond 5 s it is an alert.",
            kit.query(SKEW, "{{svc}}"),
            size=(8, 8),
            unit="s",
            least=None,
            steps=kit.SKEW_LINES,
            runbooks=["HeartbeatClockSkew"],
        )
    )


def _numbers() -> list[stat.Panel]:
    return [
        kit.stat(
            "Missing",
            "Silent for longer than their timeout while watched, and not heard since.",
            counted(MISSING),
            steps=kit.BAD_ABOVE_0,
            runbooks=["HeartbeatMiss"],
        ),
        kit.stat(
            "Not watched",
            "Nobody could say whether they beat: no exporter, a lost bus, or a warm-up.",
            counted(UNWATCHED),
            steps=((None, kit.GREEN), (1, kit.ORANGE)),
            runbooks=["HeartbeatUnwatched", "HeartbeatBusDown"],
        ),
        kit.stat("Beating", "Watched, and heard in time.", counted(BEATING), steps=((None, kit.GREEN),)),
        kit.stat("Services", "What the truth names.", f"count({TRUTH})"),
        kit.stat(
            "Availability, 24 h",
            "Share of the watched time in which services were not missing, on average, worked out every four minutes.",
            f"avg({chosen('svc:heartbeat_available:avg1d')})",
            unit="percentunit",
            decimals=2,
            steps=kit.SHARE,
        ),
        kit.stat(
            "Misses, 24 h",
            "How often a service went missing, counted every four minutes.",
            f"sum({chosen('svc:heartbeat_misses:increase1d')})",
            runbooks=["HeartbeatFlapping"],
        ),
    ]


def _worst() -> table.Panel:
    def of_the_worst(expression: str) -> str:
        return f"max by (svc) ({expression}) and on (svc) {WORST}"

    late = f"time() - ({LAST_SEEN} > 0) and on (svc) {STATE} == {MISSING}"
    return kit.grid(
        "Worst first",
        "The missing, then those that nobody watches, then those whose last beat is the most timeouts old. Late by"
        " counts from the last beat, as late_sec does.",
        Column("Service", label="svc", url=("Show this service", SERVICE_URL)),
        Column("State", of_the_worst(STATE), words=kit.STATES, width=110),
        Column(
            "Last seen", of_the_worst(f"1000 * {LAST_SEEN} > 0"), unit=kit.INSTANT, width=160, none="never"
        ),
        Column("Late by", of_the_worst(late), unit="s", width=80, decimals=0, steps=((None, kit.RED),)),
        Column("Timeout", of_the_worst(TRUTH), unit="s", width=80),
        Column(
            "Available 24 h",
            of_the_worst("svc:heartbeat_available:avg1d"),
            unit="percentunit",
            width=120,
            decimals=2,
            steps=kit.SHARE,
        ),
        Column("Misses 24 h", of_the_worst("svc:heartbeat_misses:increase1d"), width=110, decimals=0),
        Column("Bus", label="bus", width=115),
        Column("Severity", label="severity", width=85),
        Column("Team", label="team", width=85),
        Column("Rank", f"{WORST} * on (svc) group_left (bus, severity, team) {TRUTH} ^ 0", hidden=True),
        size=(24, 10),
        sort="Rank",
        runbooks=["HeartbeatMiss", "HeartbeatUnwatched"],
    )


def _alerts() -> table.Panel:
    both = firing(OURS)
    return kit.grid(
        "Alerts",
        "What fires, whomever it is about; the name leads to its runbook.",
        Column("Alert", label="alertname", url=("Runbook", kit.runbook("${__value.raw}"))),
        Column("Severity", label="severity", width=70),
        Column("Count", f"count by (alertname, severity) ({both})", width=55),
        Column(
            "Since",
            f'1000 * min by (alertname, severity) (ALERTS_FOR_STATE{{alertname=~"{OURS}"}} and ignoring (alertstate) {both})',
            unit="dateTimeFromNow",
            width=kit.AGO,
        ),
        size=(8, 11),
        none="Nothing fires.",
    )
