"""Healer itself: whether the watching, the rules and the delivery work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import frame, kit
from dashboards.kit import Column
from dashboards.promql import firing, happened, in_a_step

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

JOBS = 'job=~"heartbeat|sentinel|autoheal|alertmanager|prometheus"'
AGE = "time() - max(sentinel_watchdog_last_beat_timestamp_seconds > 0)"
LOOPBACK = 'heartbeat_bus_loopback_timestamp_seconds{job="heartbeat"}'
HEARTBEAT = 'job="heartbeat"'
GROUP = "{{rule_group}}"
GROUPS = 'rule_group=~".+;(heartbeat.*|autoheal)"'


def healer() -> Dashboard:
    """Return the dashboard."""
    board = frame.dashboard(
        "healer-itself", "Healer / Healer itself", "Exporters, buses, rules, sentinel, delivery."
    )
    board = board.annotation(
        frame.annotation(
            "Monitoring", firing("HealerMiss|HeartbeatBusDown|SentinelDown"), "{{alertname}} {{bus}}", kit.RED
        )
    )
    for number in _numbers():
        board = board.with_panel(number)
    for panel in (_exporters(), *_buses(), *_prometheus(), *_sentinel(), *_alertmanager(), *_processes()):
        board = board.with_panel(panel)
    return board


def _numbers() -> list[stat.Panel]:
    return [
        kit.stat(
            "Exporters up",
            "Replicas that answer Prometheus. One is enough.",
            'sum(up{job="heartbeat"}) or vector(0)',
            steps=((None, kit.RED), (1, kit.GREEN)),
            runbooks=["HealerMiss"],
        ),
        kit.stat(
            "Buses heard",
            "Buses on which some replica hears its own beat, of those that the exporters know.",
            'sum(max by (bus) (heartbeat_bus_up{job="heartbeat"})) / count(max by (bus) (heartbeat_bus_up{job="heartbeat"}))',
            unit="percentunit",
            steps=((None, kit.RED), (1, kit.GREEN)),
            runbooks=["HeartbeatBusDown"],
        ),
        kit.stat(
            "Own beat",
            "Since Healer was last known alive: its own beat came back on some bus.",
            "time() - healer:heartbeat_alive_timestamp_seconds:max",
            unit="s",
            decimals=0,
            runbooks=["HealerMiss"],
        ),
        kit.stat(
            "Watchdog",
            "Since the rules were evaluated for the Watchdog that the sentinel heard last.",
            AGE,
            unit="s",
            decimals=0,
            runbooks=["Watchdog"],
        ),
        kit.stat(
            "Sentinels up",
            "Sentinels that answer Prometheus.",
            'sum(up{job="sentinel"}) or vector(0)',
            steps=((None, kit.RED), (1, kit.GREEN)),
            runbooks=["SentinelDown"],
        ),
        kit.stat(
            "Truths",
            "Different truths that exporters and sentinels run; more than one is a rollout, or a fault.",
            'count(group by (sha256) ({__name__=~"heartbeat_truth_info|sentinel_truth_info"}))',
            steps=((None, kit.GREEN), (2, kit.ORANGE)),
            runbooks=["HeartbeatTruthDrift"],
        ),
    ]


def _exporters() -> table.Panel:
    def each(expression: str) -> str:
        return f"max by (instance) ({expression})"

    return kit.grid(
        "Exporters",
        "Replicas: what each runs and since when.",
        Column("Exporter", label="instance"),
        Column("Up", each('up{job="heartbeat"}'), words=kit.UP, width=60),
        Column(
            "Started", each('1000 * process_start_time_seconds{job="heartbeat"}'), unit=kit.INSTANT, width=160
        ),
        Column(
            "Truth",
            'max by (instance, sha256) (label_replace(heartbeat_truth_info{job="heartbeat"}, "sha256", "$1", "sha256", "(.{12}).*"))',
            hidden=True,
        ),
        Column("Truth", label="sha256", width=120),
        Column(
            "Adopted",
            each('1000 * heartbeat_truth_last_reload_success_timestamp_seconds{job="heartbeat"}'),
            unit=kit.INSTANT,
            width=160,
        ),
        Column(
            "Newest truth in force",
            each('heartbeat_truth_last_reload_successful{job="heartbeat"}'),
            words=kit.YES,
            width=160,
        ),
        size=(24, 5),
        runbooks=["HealerMiss", "HeartbeatTruthDrift"],
    )


def _buses() -> list[timeseries.Panel | statetimeline.Panel]:
    return [
        kit.timeline(
            "Buses",
            "Whether any replica hears its own beat come back. While none does, no service on the bus is watched.",
            kit.query('max by (bus) (heartbeat_bus_up{job="heartbeat"})', "{{bus}}"),
            size=(8, 8),
            words=kit.UP,
            runbooks=["HeartbeatBusDown"],
        ),
        kit.lines(
            "Loopback delay",
            "Since the exporter's own beat last came back, as of each scrape; the replica that hears best.",
            kit.query(
                f"max_over_time(min by (bus) (timestamp({LOOPBACK}) - ({LOOPBACK} > 0))[$__rate_interval:])",
                "{{bus}}",
            ),
            size=(8, 8),
            unit="s",
            runbooks=["HeartbeatBusDown"],
        ),
        kit.lines(
            "Reconnects",
            "Connections to a bus after the first.",
            kit.query(
                f"{happened('heartbeat_bus_reconnects_total', 'bus', HEARTBEAT)} or 0 * sum by (bus) (heartbeat_bus_up{{{HEARTBEAT}}})",
                "{{bus}}",
            ),
            size=(8, 8),
            bars=True,
            stacked=True,
            runbooks=["HeartbeatUnwatched"],
        ),
    ]


def _prometheus() -> list[timeseries.Panel]:
    named = '"rule_group", "$1", "rule_group", ".+;(.+)"'
    return [
        kit.lines(
            "Scrape duration",
            "What a scrape costs, the slowest target of each job.",
            kit.query(f"max by (job) (scrape_duration_seconds{{{JOBS}}})", "{{job}}"),
            size=(8, 8),
            unit="s",
        ),
        kit.lines(
            "Samples per scrape",
            "The exporter's grow with the services.",
            kit.query(f"sum by (job) (scrape_samples_scraped{{{JOBS}}})", "{{job}}"),
            size=(8, 8),
        ),
        kit.lines(
            "Rule evaluation",
            "How long the last evaluation of each group took; dashed is its limit, the interval of the fastest group.",
            kit.query(
                f"max by (rule_group) (label_replace(prometheus_rule_group_last_duration_seconds{{{GROUPS}}}, {named}))",
                GROUP,
            ),
            kit.query(f"min(prometheus_rule_group_interval_seconds{{{GROUPS}}})", "interval"),
            size=(8, 8),
            unit="s",
            colors={"interval": kit.RED},
            dashed="^interval$",
        ),
    ]


def _sentinel() -> list[timeseries.Panel]:
    return [
        kit.lines(
            "Watchdog age",
            "Prometheus, Alertmanager and the way between them work while it stays below the timeout.",
            kit.query(f"max_over_time(({AGE})[$__rate_interval:])", "age"),
            kit.query("max(sentinel_watchdog_timeout_seconds)", "timeout"),
            size=(8, 8),
            unit="s",
            colors={"age": kit.BLUE, "timeout": kit.RED},
            dashed="timeout",
            runbooks=["Watchdog", "HealerMiss"],
        ),
        kit.lines(
            "Events published",
            "What sentinels published on the alerts channel.",
            kit.query(
                f"{happened('sentinel_events_total', 'type', '')} or 0 * sum by (type) (sentinel_events_total)",
                "{{type}}",
            ),
            size=(8, 8),
            bars=True,
            stacked=True,
            colors={
                "heartbeat_miss": kit.RED,
                "heartbeat_ok": kit.GREEN,
                "healer_miss": "purple",
                "healer_ok": kit.BLUE,
            },
        ),
        kit.lines(
            "Sentinel",
            "Webhooks answered a second, by status, and recoveries that are held back for a proof.",
            kit.query(
                "sum by (code) (rate(sentinel_webhook_requests_total[$__rate_interval])) > 0",
                "HTTP {{code}} a second",
            ),
            kit.query("max(sentinel_pending_resolutions)", "held back"),
            kit.query("1 - min(sentinel_redis_up)", "alerts bus lost"),
            size=(8, 8),
            runbooks=["SentinelDown"],
        ),
    ]


def _alertmanager() -> list[timeseries.Panel]:
    return [
        kit.lines(
            "Alertmanager deliveries",
            "Notifications a second, by way of delivery, and those that failed.",
            kit.query(
                "sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval])) > 0",
                "{{integration}}",
            ),
            kit.query(
                "sum by (integration) (rate(alertmanager_notifications_failed_total[$__rate_interval])) > 0",
                "{{integration}} failed",
            ),
            size=(8, 8),
            unit="ops",
            colors={"/ failed$/": kit.RED},
        ),
        kit.lines(
            "Time to deliver",
            "The mean of a notification. Slower than group_interval, and Alertmanager delivers again and again.",
            kit.query(
                "sum by (integration) (rate(alertmanager_notification_latency_seconds_sum[$__rate_interval])) / sum by (integration) (rate(alertmanager_notification_latency_seconds_count[$__rate_interval]) > 0)",
                "{{integration}}",
            ),
            size=(8, 8),
            unit="s",
        ),
        kit.lines(
            "Prometheus to Alertmanager",
            "Alerts sent a second, and those that were dropped or refused.",
            kit.query("sum(rate(prometheus_notifications_sent_total[$__rate_interval]))", "sent"),
            kit.query("sum(rate(prometheus_notifications_dropped_total[$__rate_interval]))", "dropped"),
            kit.query("sum(rate(prometheus_notifications_errors_total[$__rate_interval]))", "errors"),
            size=(8, 8),
            unit="ops",
            colors={"sent": kit.BLUE, "dropped": kit.RED, "errors": kit.ORANGE},
            runbooks=["Watchdog"],
        ),
    ]


def _processes() -> list[timeseries.Panel]:
    return [
        kit.lines(
            "Evaluations left out",
            "Each delays every alert.",
            kit.query(
                f"round(sum({in_a_step(f'prometheus_rule_group_iterations_missed_total{{{GROUPS}}}')}))",
                "left out",
            ),
            size=(8, 7),
            bars=True,
            colors={"left out": kit.RED},
        ),
        kit.lines(
            "CPU",
            "Share of a core, by job.",
            kit.query(
                f"sum by (job) (rate(process_cpu_seconds_total{{{JOBS}}}[$__rate_interval]))", "{{job}}"
            ),
            size=(8, 7),
            unit="percentunit",
        ),
        kit.lines(
            "Memory",
            "Resident, by job.",
            kit.query(f"sum by (job) (process_resident_memory_bytes{{{JOBS}}})", "{{job}}"),
            size=(8, 7),
            unit="bytes",
        ),
    ]
