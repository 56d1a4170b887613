"""`healer check` and the rules look at the same situations, and say the same of them, label by label."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.host.conftest import Unit

from healer.bundle import Settings, render
from healer.truth.limits import LIMITS, Level
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.host.conftest import Machine

    from healer.stack.servers import Servers
    from healer.truth.machines import Host

STEP = 60
END = 4800
"""Seconds: all alerts have had their time by then, and the rules have looked over the whole of their windows."""
LATE = END - 600
"""When restarts and errors come, in seconds from the beginning."""


@dataclass
class Situation:
    """One state of a host, for both.

    Attributes:
        units: Whether systemd answers.
        unit: What it says.
        space: Of /data: size, free, available; None: nobody can tell.
        mounted: Whether anything is mounted there.
        available: Of a memory of 1000.
        age: Of the heartbeat file, in seconds; None: it is missing.
        errors: In the log, within its window.
        old: Errors before that.
        readable: Whether the log is there.
    """

    level: Level
    units: bool = True
    unit: Unit = field(default_factory=Unit)
    space: tuple[int, int, int] | None = (1000, 550, 500)
    mounted: bool = True
    available: int | None = 400
    age: float | None = 10.0
    errors: int = 0
    old: int = 0
    readable: bool = True

    def put_on(self, machine: Machine) -> None:
        """Make `machine` be so."""
        machine.unit, machine.space = self.unit, self.space
        machine.journal(entries=self.unit.restarts)
        if not self.units:
            machine.systemctl("Failed to connect to bus")
        machine.mounts("/", *(["/data"] if self.mounted else []))
        if self.available is None:
            (machine.folder / "proc/meminfo").unlink()
        else:
            machine.meminfo(self.available)
        machine.beat.unlink() if self.age is None else machine.touch(self.age)
        machine.write(*[(5000.0, "ERROR")] * self.old, *[(60.0, "ERROR")] * self.errors)
        if not self.readable:
            machine.log.unlink()

    def series(self, machine: Machine) -> dict[str, Callable[[int], float]]:
        """Return what node_exporter and `healer host` expose of it, by the second."""
        node = f'host="{machine.host.name}",job="node"'
        known: dict[str, float | Callable[[int], float]] = {f"up{{{node}}}": 1}
        for collector, fine in (
            ("systemd", self.units),
            ("filesystem", True),
            ("meminfo", self.available is not None),
        ):
            known[f'node_scrape_collector_success{{{node},collector="{collector}"}}'] = float(fine)
        if self.units and self.unit.load == "loaded":
            unit = f'{node},name="worker.service"'
            for state in ("active", "failed", "inactive", "activating"):
                known[f'node_systemd_unit_state{{{unit},state="{state}"}}'] = float(self.unit.state == state)
            before = max(0, self.unit.restarts - 20) if self.unit.started < 3600 else self.unit.restarts
            known[f"node_systemd_service_restart_total{{{unit}}}"] = lambda second: (
                self.unit.restarts if second > LATE else before
            )
        if self.mounted and self.space is not None:
            mount = f'{node},device="/dev/sda1",fstype="ext4",mountpoint="/data"'
            for name, value in zip(("size", "free", "avail"), self.space, strict=True):
                known[f"node_filesystem_{name}_bytes{{{mount}}}"] = value
        if self.available is not None:
            known[f"node_memory_MemTotal_bytes{{{node}}}"] = 1000
            known[f"node_memory_MemAvailable_bytes{{{node}}}"] = self.available
        return known | self._probed(machine)  # type: ignore[return-value]

    def _probed(self, machine: Machine) -> dict[str, float | Callable[[int], float]]:
        probe, age = f'host="{machine.host.name}",job="host"', self.age
        file, log = f'{probe},path="{machine.beat}"', f'{probe},log="{machine.log}"'
        known: dict[str, float | Callable[[int], float]] = {
            f"up{{{probe}}}": 1,
            f"host_heartbeat_file_present{{{file}}}": float(age is not None),
            f'host_probe_success{{{probe},probe="heartbeat_file",target="{machine.beat}"}}': 1,
            f'host_probe_success{{{probe},probe="log",target="{machine.log}"}}': float(self.readable),
            f"host_log_errors_total{{{log}}}": lambda second: self.old + self.errors * (second > LATE),
        }
        if age is not None:
            name = f"host_heartbeat_file_modified_timestamp_seconds{{{file}}}"
            known[name] = lambda second: second - age
        return known


SITUATIONS = {
    "all is well": Situation(Level.HEALTHY),
    "unit failed": Situation(Level.CRITICAL, unit=Unit("failed", "failed", "exit-code")),
    "unit between two starts": Situation(Level.CRITICAL, unit=Unit("activating", "auto-restart")),
    "unit not known": Situation(Level.CRITICAL, unit=Unit("inactive", "dead", load="not-found", restarts=0)),
    "five restarts": Situation(Level.HEALTHY, unit=Unit(restarts=5)),
    "six restarts": Situation(Level.WARNING, unit=Unit(restarts=6)),
    "many restarts, long ago": Situation(Level.HEALTHY, unit=Unit(restarts=60, started=7200)),
    "disk at 80 %": Situation(Level.HEALTHY, space=(1000, 200, 200)),
    "disk above 80 %, for root has reserved some": Situation(Level.WARNING, space=(1000, 210, 190)),
    "disk at 90 %": Situation(Level.WARNING, space=(1000, 100, 100)),
    "disk above 90 %": Situation(Level.CRITICAL, space=(100_000, 9_990, 9_990)),
    "memory at 90 %": Situation(Level.HEALTHY, available=100),
    "memory above 90 %": Situation(Level.WARNING, available=99),
    "heartbeat in time": Situation(Level.HEALTHY, age=300),
    "heartbeat stale": Situation(Level.WARNING, age=301),
    "heartbeat from the future": Situation(Level.HEALTHY, age=-500),
    "heartbeat missing": Situation(Level.WARNING, age=None),
    "two errors, and older ones": Situation(Level.HEALTHY, errors=2, old=50),
    "three errors": Situation(Level.WARNING, errors=3),
    "systemd does not answer": Situation(Level.UNKNOWN, units=False),
    "nothing mounted": Situation(Level.UNKNOWN, mounted=False),
    "file system does not answer": Situation(Level.UNKNOWN, space=None),
    "memory not known": Situation(Level.UNKNOWN, available=None),
    "log not there": Situation(Level.UNKNOWN, readable=False),
    "everything at once": Situation(
        Level.CRITICAL, unit=Unit("failed", "failed", restarts=9), space=(1000, 1, 1), available=1, age=1e6, errors=9
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_check_says_what_the_situation_is(machine: Machine, name: str) -> None:
    SITUATIONS[name].put_on(machine)
    report = machine.look()
    assert report.level is SITUATIONS[name].level, report


def test_the_rules_say_the_same(servers: Servers, machine: Machine) -> None:
    """The alerts that a check raises are exactly those that fire, with the same labels, in every situation."""
    fresh = {path: path.read_bytes() for path in machine.folder.rglob("*") if path.is_file()}
    series: dict[str, str] = {}
    raised: set[str] = set()
    hosts = []
    for number, situation in enumerate(SITUATIONS.values()):
        for path, content in fresh.items():
            path.write_bytes(content)
        machine.host = replace(machine.host, name=f"vm-{number}")
        hosts.append(machine.host)
        situation.put_on(machine)
        series |= {name: _values(value) for name, value in situation.series(machine).items()}
        found = [finding.labels for item in machine.look().items for finding in item.raised]
        raised |= {_selector(labels) for labels in found}
    (machine.folder / "host.rules.yml").write_text(_rules(machine, hosts))
    (machine.folder / "test.yml").write_text(json.dumps(_test(series, raised)))
    done = subprocess.run(
        [servers.promtool.path, "test", "rules", machine.folder / "test.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _values(value: float | Callable[[int], float]) -> str:
    seconds = range(0, END + STEP, STEP)
    return " ".join(f"{value(second) if callable(value) else value:g}" for second in seconds)


def _rules(machine: Machine, hosts: list[Host]) -> str:
    """Return the rules of a truth that says of each host what the checks were told."""
    wiring = {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]}
    host = {
        "units": ["worker.service"],
        "mounts": ["/data"],
        "heartbeat_files": [{"path": str(machine.beat)}],
        "logs": [{"path": str(machine.log), "pattern": "ERROR", "more_than": 2}],
        "team": "vms",
    }
    document = {
        "services": {"healer": {"access_points": wiring}},
        "hosts": {each.name: host for each in hosts},
    }
    truth = parse(json.dumps(document), env={}).truth
    nameless = {replace(each, name="", node_exporter="", probe=None) for each in (*truth.hosts, *hosts)}
    assert len(nameless) == 1
    return render(truth, Settings(scrape_interval=STEP, evaluation_interval=STEP))["rules/host.rules.yml"]


def _test(series: Mapping[str, str], raised: Iterable[str]) -> dict[str, Any]:
    check = {
        "eval_time": f"{END}s",
        "expr": f'ALERTS{{alertname=~"{"|".join(LIMITS.alerts)}"}}',
        "exp_samples": [{"labels": f"ALERTS{labels}", "value": 1} for labels in sorted(raised)],
    }
    group = {
        "interval": f"{STEP}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [check],
    }
    return {"rule_files": ["host.rules.yml"], "evaluation_interval": f"{STEP}s", "tests": [group]}


def _selector(labels: Mapping[str, str]) -> str:
    firing = {**labels, "alertstate": "firing"}
    return "{" + ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(firing.items())) + "}"
