"""The rules of hosts: each alert comes and goes with what it is about, and what is unknown changes nothing."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from healer.bundle import Settings, render
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from healer.stack.servers import Servers

MINUTE = 60
HOST = {
    "node_exporter": "10.0.0.5:9100",
    "units": ["worker.service"],
    "mounts": ["/data"],
    "heartbeat_files": [{"path": "/beat"}],
    "logs": [{"path": "/log", "more_than": 2}],
    "team": "vms",
}
NODE = 'host="vm",instance="10.0.0.5:9100",job="node"'
MOUNT = f'{NODE},device="/dev/sda1",fstype="ext4",mountpoint="/data"'
PROBE = 'host="vm",instance="vm:9880",job="host"'
WELL: dict[str, float] = {
    f"up{{{NODE}}}": 1,
    f"up{{{PROBE}}}": 1,
    f'node_scrape_collector_success{{{NODE},collector="systemd"}}': 1,
    f'node_scrape_collector_success{{{NODE},collector="filesystem"}}': 1,
    f'node_scrape_collector_success{{{NODE},collector="meminfo"}}': 1,
    f"node_filesystem_size_bytes{{{MOUNT}}}": 1000,
    f"node_filesystem_free_bytes{{{MOUNT}}}": 550,
    f"node_filesystem_avail_bytes{{{MOUNT}}}": 500,
    f"node_memory_MemTotal_bytes{{{NODE}}}": 1000,
    f"node_memory_MemAvailable_bytes{{{NODE}}}": 400,
    f'node_systemd_unit_state{{{NODE},name="worker.service",state="active",type="simple"}}': 1,
    f'node_systemd_unit_state{{{NODE},name="worker.service",state="failed",type="simple"}}': 0,
    f'node_systemd_service_restart_total{{{NODE},name="worker.service"}}': 3,
    f'host_heartbeat_file_present{{{PROBE},path="/beat"}}': 1,
    f'host_log_errors_total{{{PROBE},log="/log"}}': 0,
    f'host_probe_success{{{PROBE},probe="heartbeat_file",target="/beat"}}': 1,
    f'host_probe_success{{{PROBE},probe="log",target="/log"}}': 1,
}
"""A host on which all is well, but for the stamp of its heartbeat file, which is the time."""
STAMP = f'host_heartbeat_file_modified_timestamp_seconds{{{PROBE},path="/beat"}}'
GONE = None

DISK = '{host="vm",mountpoint="/data",severity="%s",team="vms"}'
UNIT = '{host="vm",severity="%s",team="vms",unit="worker.service"}'
FILE = '{host="vm",path="/beat",severity="warning",team="vms"}'


def change(**values: float | None) -> dict[str, float | None]:
    """What is otherwise than well, by a part of the series' name."""
    found: dict[str, float | None] = {}
    for part, value in values.items():
        (series,) = (each for each in [*WELL, STAMP] if part in each.replace('"', "_").replace(".", "_"))
        found[series] = value
    return found


NODE_DOWN: dict[str, float | None] = {
    each: GONE for each in WELL if NODE in each and not each.startswith("up")
}
NODE_DOWN[f"up{{{NODE}}}"] = 0
PROBE_DOWN: dict[str, float | None] = {each: GONE for each in [*WELL, STAMP] if PROBE in each}
PROBE_DOWN[f"up{{{PROBE}}}"] = 0

NODE_UNKNOWN: dict[str, float | None] = {each: GONE for each in WELL if NODE in each}
PROBE_UNKNOWN: dict[str, float | None] = {each: GONE for each in [*WELL, STAMP] if PROBE in each}

Phases = list[tuple[int, "dict[str, float | None]"]]


@pytest.fixture
def live(servers: Servers, tmp_path: Path) -> Callable[[Phases, dict[int, dict[str, str]]], None]:
    """Return a function: take a host through phases, each so many minutes long, and see what fires when."""

    def live(phases: Phases, expected: dict[int, dict[str, str]]) -> None:
        wiring = {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]}
        document = {"services": {"healer": {"access_points": wiring}}, "hosts": {"vm": HOST}}
        text = render(
            parse(json.dumps(document), env={}).truth, Settings(scrape_interval=15, evaluation_interval=15)
        )
        (tmp_path / "host.rules.yml").write_text(text["rules/host.rules.yml"])
        columns: dict[str, list[str]] = {series: [] for series in [*WELL, STAMP]}
        second = 0
        for minutes, changes in phases:
            for at in range(second, second + minutes * MINUTE, 15):
                for series, column in columns.items():
                    value = changes.get(series, at if series == STAMP else WELL.get(series))
                    column.append("stale" if value is None else str(value))
            second += minutes * MINUTE
        (tmp_path / "test.yml").write_text(json.dumps(_test(columns, expected)))
        done = subprocess.run(
            [servers.promtool.path, "test", "rules", tmp_path / "test.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return live


def _test(columns: dict[str, list[str]], expected: dict[int, dict[str, str]]) -> dict[str, Any]:
    names = sorted({name for firing in expected.values() for name in firing})
    checks = [
        {
            "eval_time": f"{minute}m",
            "expr": f'ALERTS{{alertstate="firing", alertname=~"{"|".join(names) or ".+"}"}}',
            "exp_samples": [
                {"labels": f'ALERTS{{alertname="{name}",alertstate="firing",{labels[1:]}', "value": 1}
                for name, labels in firing.items()
            ],
        }
        for minute, firing in expected.items()
    ]
    series = [{"series": name, "values": " ".join(column)} for name, column in columns.items()]
    group = {"interval": "15s", "input_series": series, "promql_expr_test": checks}
    return {"rule_files": ["host.rules.yml"], "evaluation_interval": "15s", "tests": [group]}


def test_on_a_host_on_which_all_is_well_nothing_fires(live) -> None:
    live([(20, {})], {5: {}, 19: {}})


@pytest.mark.parametrize(
    ("changes", "minutes", "firing"),
    [
        ({"state=_active_": 0, "state=_failed_": 1}, 2, {"HostUnitInactive": UNIT % "critical"}),
        ({"state=_active_": GONE, "state=_failed_": GONE}, 2, {"HostUnitInactive": UNIT % "critical"}),
        ({"free_bytes": 250, "avail_bytes": 180}, 2, {"HostDiskFilling": DISK % "warning"}),
        (
            {"free_bytes": 100, "avail_bytes": 50},
            2,
            {"HostDiskFilling": DISK % "warning", "HostDiskFull": DISK % "critical"},
        ),
        ({"MemAvailable": 99}, 6, {"HostMemoryHigh": '{host="vm",severity="warning",team="vms"}'}),
        ({"file_present": 0, "file_modified": GONE}, 2, {"HeartbeatFileMissing": FILE}),
        ({"file_modified": 0}, 7, {"HeartbeatFileStale": FILE}),
    ],
)
def test_an_alert_comes_with_its_cause_outlives_blindness_and_goes_when_it_is_seen_to_be_over(
    live, changes: dict[str, float | None], minutes: int, firing: dict[str, str]
) -> None:
    bad = change(**changes)
    blind = {**NODE_DOWN, **PROBE_DOWN}
    end = 5 + minutes + 20
    live(
        [(5, {}), (minutes, bad), (20, blind), (10, {})],
        {4: {}, 4 + minutes: firing, end - 1: firing, end + 2: {}},
    )


def test_what_cannot_be_looked_at_raises_no_alert_but_that_it_cannot(live) -> None:
    node = '{host="vm",probe="node_exporter",severity="warning",team="vms"}'
    live([(5, {}), (30, NODE_DOWN), (5, {})], {4: {}, 34: {"HostProbeFailed": node}, 37: {}})


@pytest.mark.parametrize(
    ("unknown", "probe"), [(NODE_UNKNOWN, "node_exporter"), (PROBE_UNKNOWN, "healer_host")]
)
def test_a_host_of_which_prometheus_knows_nothing_at_all_is_named(
    live, unknown: dict[str, float | None], probe: str
) -> None:
    labels = f'{{host="vm",probe="{probe}",severity="warning",team="vms"}}'
    live([(5, unknown), (5, {})], {4: {"HostProbeFailed": labels}, 7: {}})


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"probe=_log_": 0}, '{host="vm",probe="log",severity="warning",target="/log",team="vms"}'),
        ({"collector=_systemd_": 0}, '{host="vm",probe="systemd",severity="warning",team="vms"}'),
        (
            {"size_bytes": GONE, "free_bytes": GONE, "avail_bytes": GONE},
            '{host="vm",probe="mountpoint",severity="warning",target="/data",team="vms"}',
        ),
    ],
)
def test_each_probe_that_fails_is_named(live, changes: dict[str, float | None], labels: str) -> None:
    live([(5, {}), (5, change(**changes)), (5, {})], {4: {}, 9: {"HostProbeFailed": labels}, 12: {}})


@pytest.mark.parametrize(("restarts", "fires"), [(8, False), (9, True)])
def test_more_than_five_restarts_are_a_crash_loop_and_five_are_none(live, restarts: int, fires: bool) -> None:
    firing = {"HostUnitCrashLoop": UNIT % "warning"} if fires else {}
    live(
        [(70, {}), (2, change(restart_total=restarts)), (70, change(restart_total=restarts))],
        {71: firing, 139: {}},
    )


@pytest.mark.parametrize(("errors", "fires"), [(2, False), (3, True)])
def test_more_errors_than_the_truth_allows_are_a_warning(live, errors: int, fires: bool) -> None:
    log = '{host="vm",log="/log",severity="warning",team="vms"}'
    firing = {"HostLogErrors": log} if fires else {}
    live([(20, {}), (30, change(log_errors=errors))], {21: firing, 45: {}})
