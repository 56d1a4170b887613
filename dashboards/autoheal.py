"""Autoheal: what it did, what kept it from more, and whether that helped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import frame, kit
from dashboards.promql import firing, happened

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

JOB = '{job="autoheal"}'
RESULTS = {
    "ok": kit.GREEN,
    "fail": kit.RED,
    "skip": "yellow",
    "dry_run": kit.BLUE,
    "cancelled": kit.ORANGE,
    "interrupted": "purple",
}
KINDS = {f"action_{result}": color for result, color in RESULTS.items()} | {
    "decision_skip": "yellow",
    "action_start": kit.BLUE,
    "healed": "semi-dark-green",
    "not_healed": "semi-dark-red",
    "breaker_open": "dark-red",
}
NOTABLE = 'job="autoheal",kind!~"webhook_received|self_test|alert_accepted"'
NOT_SKIPPED = ',result!="skip"'


def _grown(name: str, by: str, more: str = "") -> str:
    matchers = f'job="autoheal"{more}'
    return f"{happened(name, by, matchers)} or 0 * sum by ({by}) ({name}{{{matchers}}})"


def autoheal() -> Dashboard:
    """Return the dashboard."""
    board = frame.dashboard(
        "healer-autoheal", "Healer / Autoheal", "Actions, gates, breaker, verdicts.", "now-6h"
    )
    board = board.annotation(
        frame.annotation("Autoheal's alerts", firing("Autoheal.+"), "{{alertname}}", kit.RED)
    )
    for number in _numbers():
        board = board.with_panel(number)
    for panel in _graphs():
        board = board.with_panel(panel)
    return board


def _numbers() -> list[stat.Panel]:
    three = (3, 4)
    return [
        kit.stat(
            "Enabled",
            "AUTOHEAL_ENABLED.",
            f"min(autoheal_enabled{JOB})",
            size=three,
            words={0: ("Off", kit.GREY), 1: ("On", kit.GREEN)},
            none="none runs",
        ),
        kit.stat(
            "Dry run",
            "Whether it only records what it would do.",
            f"max(autoheal_dry_run{JOB})",
            size=three,
            words={0: ("Live", kit.ORANGE), 1: ("Dry run", kit.BLUE)},
        ),
        kit.stat(
            "Breaker",
            "Open: more was asked for than the policy allows, and nothing runs until an operator resets it.",
            f"max(autoheal_breaker_open{JOB})",
            size=three,
            words={0: ("Closed", kit.GREEN), 1: ("Open", kit.RED)},
            runbooks=["AutohealBreakerOpen"],
        ),
        kit.stat(
            "Kill switch",
            "Whether the file is there that stops everything.",
            f"max(autoheal_kill_switch{JOB})",
            size=three,
            words={0: ("Not pulled", kit.GREEN), 1: ("Pulled", kit.RED)},
        ),
        kit.stat(
            "Record",
            "Nothing runs while the record cannot be written.",
            f"min(autoheal_state_writable{JOB})",
            size=three,
            words={0: ("Unwritable", kit.RED), 1: ("Writable", kit.GREEN)},
            runbooks=["AutohealStateUnwritable"],
        ),
        kit.stat(
            "Newest event",
            "Its age; the self-test makes one every five minutes.",
            "autoheal:heartbeat:age_seconds",
            size=three,
            unit="s",
            decimals=0,
            steps=((None, kit.GREEN), (600, kit.ORANGE), (900, kit.RED)),
            runbooks=["AutohealNoEvents15m"],
        ),
        kit.stat(
            "Running",
            "Actions that run.",
            f"sum(autoheal_actions_running{JOB})",
            size=three,
            runbooks=["AutohealInterrupted"],
        ),
        kit.stat(
            "Cooling down", "Alerts whose action is cooling down.", "autoheal:cooldown_active", size=three
        ),
    ]


def _graphs() -> list[timeseries.Panel]:
    heal = "autoheal_heal_seconds"
    return [
        kit.lines(
            "Actions",
            "By result; skipped are those that a gate objected to. The record says which gate, and why.",
            kit.query(_grown("autoheal_actions_total", "result"), "{{result}}"),
            bars=True,
            stacked=True,
            colors=RESULTS,
            runbooks=["AutohealActionFailureSpike"],
        ),
        kit.lines(
            "Actions by alert",
            "Those that ran or would have run in a dry run, the ten busiest alerts.",
            kit.query(
                f"topk(10, {_grown('autoheal_actions_total', 'alertname', NOT_SKIPPED)})", "{{alertname}}"
            ),
            bars=True,
            stacked=True,
        ),
        kit.lines(
            "Events by kind",
            "Everything that went on record but webhooks and self-tests.",
            kit.query(happened("autoheal_event_total", "kind", NOTABLE), "{{kind}}"),
            bars=True,
            stacked=True,
            colors=KINDS,
        ),
        kit.lines(
            "Gates",
            "What became of requests: those that started, those that a gate turned away, those that were only rehearsed.",
            kit.query(
                _grown(
                    "autoheal_event_total",
                    "kind",
                    ',kind=~"action_start|decision_skip|action_dry_run"',
                ),
                "{{kind}}",
            ),
            bars=True,
            stacked=True,
            colors={
                "action_start": kit.GREEN,
                "decision_skip": "yellow",
                "action_dry_run": "purple",
            },
        ),
        kit.lines(
            "Healed or not",
            "Whether the alert resolved within the time to verify.",
            kit.query(_grown("autoheal_verdicts_total", "result"), "{{result}}"),
            size=(8, 8),
            bars=True,
            stacked=True,
            colors={"healed": kit.GREEN, "not_healed": kit.RED},
        ),
        kit.lines(
            "Time to heal",
            "From the start of an action to the end of its alert, over an hour.",
            kit.query(
                f"histogram_quantile(0.5, sum by (le) (increase({heal}_bucket{JOB}[1h]))) >= 0", "median"
            ),
            kit.query(
                f"histogram_quantile(0.9, sum by (le) (increase({heal}_bucket{JOB}[1h]))) >= 0", "90 %"
            ),
            size=(8, 8),
            unit="s",
        ),
        kit.lines(
            "Waiting and running",
            "Actions that wait for their turn, that run, and alerts that cool down.",
            kit.query(f"sum(autoheal_queue_length{JOB})", "waiting"),
            kit.query(f"sum(autoheal_actions_running{JOB})", "running"),
            kit.query("autoheal:cooldown_active", "cooling down"),
            size=(8, 8),
        ),
        kit.lines(
            "Failures",
            "Failures a second over 15 minutes, and actions a second over five.",
            kit.query("autoheal:action_fail_rate_15m", "failures"),
            kit.query("autoheal:actions:rate_5m", "actions"),
            unit="ops",
            colors={"failures": kit.RED, "actions": kit.BLUE},
            runbooks=["AutohealActionFailureSpike"],
        ),
        kit.lines(
            "Last action",
            "How long ago the last action of each alert began, the ten most recent.",
            kit.query(
                f"bottomk(10, time() - max by (alertname) (autoheal_action_last_timestamp{JOB} > 0))",
                "{{alertname}}",
            ),
            unit="s",
        ),
    ]
