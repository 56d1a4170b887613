"""Hosts: units, disks, memory, heartbeat files, errors in logs, and what of them nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards import frame, kit
from dashboards.kit import Column
from dashboards.promql import happened

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
    from grafana_foundation_sdk.builders.dashboard import Dashboard

CHOSEN = 'host=~"$host"'
TARGETS = f'up{{job=~"node|host",{CHOSEN}}}'
"""Every chosen host has one, also while nothing on it answers."""

UNIT = f"host_unit:active:bool{{{CHOSEN}}}"
DISK = f"host_mountpoint:disk_used:percent{{{CHOSEN}}}"
MEMORY = f"host:memory_used:percent{{{CHOSEN}}}"
PRESENT = f"host_path:heartbeat_file_present:bool{{{CHOSEN}}}"
AGE = f"host_path:heartbeat_file_age:seconds{{{CHOSEN}}}"
LOG = f'job="host",{CHOSEN}'

STATES = {
    0: ("Healthy", kit.GREEN),
    1: ("Unknown", "purple"),
    2: ("Warning", kit.ORANGE),
    3: ("Critical", kit.RED),
}
FILES = {0: ("Fresh", kit.GREEN), 1: ("Stale", kit.ORANGE), 2: ("Missing", kit.RED)}
ACTIVE = {0: ("Not active", kit.RED), 1: ("Active", kit.GREEN)}
FULL: kit.Steps = ((None, kit.GREEN), (80, kit.ORANGE), (90, kit.RED))
USED: kit.Steps = ((None, kit.GREEN), (90, kit.RED))
DISK_LINES: kit.Steps = ((None, "transparent"), (80, kit.ORANGE), (90, kit.RED))
MEMORY_LINES: kit.Steps = ((None, "transparent"), (90, kit.RED))

URL = "/d/healer-hosts?var-datasource=${datasource}&var-host=${__value.raw:percentencode}&${__url_time_range}"


def _firing(alerts: str, more: str = "") -> str:
    return f'ALERTS{{alertname=~"{alerts}",alertstate="firing",{CHOSEN}{more}}}'


EVERY = _firing("Host.+|HeartbeatFile.+")
PROBES = _firing("HostProbeFailed")
_CRITICAL = _firing("Host.+|HeartbeatFile.+", ',severity="critical"')
_WARNING = _firing("Host[^P].+|HeartbeatFile.+", ',severity="warning"')
STATE = f"max by (host) (3 * {_CRITICAL} or 2 * {_WARNING} or 1 * {PROBES} or 0 * {TARGETS})"

WORST = f"topk($top, 1e3 * {STATE} + on (host) max by (host) ({DISK}) or on (host) 1e3 * {STATE})"
"""The worst hosts: by their state, then by their fullest disk."""

_FILE = f"max by (host, path) (2 * (1 - {PRESENT}) or 1 * {_firing('HeartbeatFileStale')})"
OLDEST = f"topk($top, 1e9 * {_FILE} + on (host, path) {AGE} or on (host, path) 1e9 * {_FILE})"
"""Heartbeat files: the missing, the stale, then by their age."""


def hosts() -> Dashboard:
    """Return the dashboard."""
    board = frame.dashboard("healer-hosts", "Healer / Hosts", "Units, disks, memory, heartbeat files, logs.")
    board = board.with_variable(frame.variable("host", "Host", 'up{job=~"node|host"}'))
    board = board.with_variable(frame.choice("top", "Rows", ["20", "50", "100", "500"], "20"))
    board = board.annotation(frame.annotation("Critical", _CRITICAL, "{{alertname}} {{host}}", kit.RED))
    for number in _numbers():
        board = board.with_panel(number)
    for panel in (_worst(), _over_time(), _alerts(), *_used(), _units(), _files(), *_counts(), _unknown()):
        board = board.with_panel(panel)
    return board


def _numbers() -> list[stat.Panel]:
    three = (3, 4)
    return [
        kit.stat("Hosts", "What the truth names.", f"count(group by (host) ({TARGETS}))", size=three),
        kit.stat(
            "Unwell",
            "Hosts about which an alert fires.",
            f"count(({STATE}) >= 2) or 0 * count({TARGETS})",
            size=three,
            steps=kit.BAD_ABOVE_0,
        ),
        kit.stat(
            "Partly unknown",
            "Hosts of which something could not be looked at. What they showed last still counts, here and in alerts.",
            f"count(group by (host) ({PROBES})) or 0 * count({TARGETS})",
            size=three,
            steps=((None, kit.GREEN), (1, "purple")),
            runbooks=["HostProbeFailed"],
        ),
        kit.stat(
            "Units not active",
            "Or not known to systemd.",
            f"count({UNIT} == 0) or 0 * count({UNIT})",
            size=three,
            steps=kit.BAD_ABOVE_0,
            runbooks=["HostUnitInactive"],
        ),
        kit.stat(
            "Fullest disk",
            "In use, as df computes it.",
            f"max({DISK})",
            size=three,
            unit="percent",
            decimals=1,
            steps=FULL,
            runbooks=["HostDiskFilling", "HostDiskFull"],
        ),
        kit.stat(
            "Most memory",
            "In use, without what the kernel can free.",
            f"max({MEMORY})",
            size=three,
            unit="percent",
            decimals=1,
            steps=USED,
            runbooks=["HostMemoryHigh"],
        ),
        kit.stat(
            "Files not fresh",
            "Heartbeat files that are missing, or older than their timeout.",
            f"count({_FILE} > 0) or 0 * count({PRESENT})",
            size=three,
            steps=((None, kit.GREEN), (1, kit.ORANGE)),
            runbooks=["HeartbeatFileMissing", "HeartbeatFileStale"],
        ),
        kit.stat(
            "Errors, 15 min",
            "Errors in all logs together.",
            f"sum(round(increase(host_log_errors_total{{{LOG}}}[15m])))",
            size=three,
            decimals=0,
            steps=((None, kit.GREEN), (1, kit.ORANGE)),
            runbooks=["HostLogErrors"],
        ),
    ]


def _worst() -> table.Panel:
    def of_the_worst(expression: str) -> str:
        return f"{expression} and on (host) {WORST}"

    errors = f"sum by (host) (round(increase(host_log_errors_total{{{LOG}}}[15m])))"
    return kit.grid(
        "Worst first",
        "By their alerts, then by their fullest disk. Of an unknown host the values are the last that were seen.",
        Column("Host", label="host", url=("Show this host", URL)),
        Column("State", of_the_worst(STATE), words=STATES, width=110),
        Column("Alerts", of_the_worst(f"sum by (host) ({EVERY} or 0 * {TARGETS})"), width=80),
        Column("Units down", of_the_worst(f"sum by (host) (1 - {UNIT})"), width=110),
        Column(
            "Fullest disk",
            of_the_worst(f"max by (host) ({DISK})"),
            unit="percent",
            width=110,
            decimals=1,
            steps=FULL,
        ),
        Column(
            "Memory",
            of_the_worst(f"max by (host) ({MEMORY})"),
            unit="percent",
            width=100,
            decimals=1,
            steps=USED,
        ),
        Column(
            "Oldest heartbeat file", of_the_worst(f"max by (host) ({AGE})"), unit="s", width=170, decimals=0
        ),
        Column("Log errors 15 min", of_the_worst(errors), width=140, decimals=0),
        Column("Rank", WORST, hidden=True),
        size=(24, 9),
        sort="Rank",
    )


def _over_time() -> statetimeline.Panel:
    worst = f"topk(15, avg_over_time(({STATE})[$__range:$__interval] @ end()))"
    return kit.timeline(
        "Worst hosts over time",
        "The 15 hosts that were longest not well in this range. Gaps: Prometheus was down.",
        kit.query(f"{STATE} and on (host) {worst}", "{{host}}"),
        size=(16, 9),
        words=STATES,
    )


def _alerts() -> table.Panel:
    since = 'ALERTS_FOR_STATE{alertname=~"Host.+|HeartbeatFile.+"} and ignoring (alertstate) '
    return kit.grid(
        "Alerts",
        "What fires about the chosen hosts; the name leads to its runbook.",
        Column("Alert", label="alertname", url=("Runbook", kit.runbook("${__value.raw}"))),
        Column("Severity", label="severity", width=70),
        Column("Count", f"count by (alertname, severity) ({EVERY})", width=55),
        Column(
            "Since",
            f"1000 * min by (alertname, severity) ({since}{EVERY})",
            unit="dateTimeFromNow",
            width=kit.AGO,
        ),
        size=(8, 9),
        none="Nothing fires.",
    )


def _worst_over_range(series: str) -> str:
    return f"{series} and topk(10, max_over_time({series}[$__range:$__interval] @ end()))"


def _used() -> list[timeseries.Panel]:
    return [
        kit.lines(
            "Disks",
            "In use, as df computes it, of the 10 that were fullest in this range. Dashed are the usual thresholds; the"
            " truth may have others for a host.",
            kit.query(_worst_over_range(DISK), "{{host}} {{mountpoint}}"),
            unit="percent",
            most=100,
            steps=DISK_LINES,
            runbooks=["HostDiskFilling", "HostDiskFull"],
        ),
        kit.lines(
            "Memory",
            "In use and not to be freed, of the 10 hosts that used most in this range. Dashed is the usual threshold.",
            kit.query(_worst_over_range(MEMORY), "{{host}}"),
            unit="percent",
            most=100,
            steps=MEMORY_LINES,
            runbooks=["HostMemoryHigh"],
        ),
    ]


def _units() -> statetimeline.Panel:
    worst = f"topk(10, avg_over_time((1 - {UNIT})[$__range:$__interval] @ end()))"
    return kit.timeline(
        "Units",
        "The 10 that were longest not active in this range.",
        kit.query(f"{UNIT} and {worst}", "{{host}} {{unit}}"),
        size=(12, 9),
        words=ACTIVE,
        runbooks=["HostUnitInactive", "HostUnitCrashLoop"],
    )


def _files() -> table.Panel:
    def of_the_oldest(expression: str) -> str:
        return f"{expression} and on (host, path) {OLDEST}"

    return kit.grid(
        "Heartbeat files",
        "The missing, the stale, then the oldest. Ages are as of when the file was last looked at.",
        Column("Host", label="host", width=100),
        Column("File", label="path"),
        Column("State", of_the_oldest(_FILE), words=FILES, width=90),
        Column("Age", of_the_oldest(f"max by (host, path) ({AGE})"), unit="s", width=90, decimals=0),
        Column("Rank", OLDEST, hidden=True),
        size=(12, 9),
        sort="Rank",
        runbooks=["HeartbeatFileMissing", "HeartbeatFileStale"],
    )


def _counts() -> list[timeseries.Panel]:
    ours = f'label_replace({UNIT}, "name", "$1", "unit", "(.*)")'
    restarts = happened("node_systemd_service_restart_total", "host, name", f'job="node",{CHOSEN}')
    return [
        kit.lines(
            "Log errors",
            "Errors in each step, of the 10 logs that had most; no data where there were none.",
            kit.query(f"topk(10, {happened('host_log_errors_total', 'host, log', LOG)})", "{{host}} {{log}}"),
            size=(8, 8),
            bars=True,
            stacked=True,
            runbooks=["HostLogErrors"],
        ),
        kit.lines(
            "Restarts of units",
            "By systemd, in each step, of the 10 watched units that had most; no data where there were none.",
            kit.query(f"topk(10, {restarts} and on (host, name) {ours})", "{{host}} {{name}}"),
            size=(8, 8),
            bars=True,
            stacked=True,
            runbooks=["HostUnitCrashLoop"],
        ),
    ]


def _unknown() -> table.Panel:
    since = f'ALERTS_FOR_STATE{{alertname="HostProbeFailed"}} and ignoring (alertstate) {PROBES}'
    return kit.grid(
        "Unknown",
        "What could not be looked at: neither good nor bad. It raises no other alert, and clears none.",
        Column("Host", label="host"),
        Column("Probe", label="probe", width=110),
        Column("Of", label="target", width=110),
        Column(
            "Since",
            f"topk($top, 1000 * min by (host, probe, target) ({since}))",
            unit="dateTimeFromNow",
            width=kit.AGO,
        ),
        size=(8, 8),
        runbooks=["HostProbeFailed"],
        none="All is known.",
    )
