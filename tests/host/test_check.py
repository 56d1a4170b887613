"""What a check looks at, beyond what the rules see, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import math
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.host.conftest import NOW, Time

from healer.host import space
from healer.host.check import Check
from healer.host.findings import spoken
from healer.truth.limits import Level
from healer.truth.machines import Log

if TYPE_CHECKING:
    from tests.host.conftest import Machine


def test_disks_are_measured_as_df_does() -> None:
    for _ in range(5):  # somebody else may write meanwhile
        before = math.ceil(space.disk_used("/"))
        out = subprocess.run(["df", "--output=pcent", "/"], capture_output=True, text=True, check=True).stdout
        if before == int(out.split()[1].rstrip("%")):
            return
    pytest.fail(f"we say {before} %, df says {out}")


def test_memory_is_what_the_kernel_says_is_available() -> None:
    used = space.memory_used()
    with Path("/proc/meminfo").open() as file:
        said = dict(line.split()[:2] for line in file)
    assert used == pytest.approx(100 * (1 - int(said["MemAvailable:"]) / int(said["MemTotal:"])), abs=5)


def test_what_is_not_mounted_is_not_the_disk_below_it(machine: Machine) -> None:
    machine.mounts("/")
    item = machine.item("mount")
    assert (item.level, item.text, item.value) == (Level.UNKNOWN, "nothing is mounted there", None)


def test_only_what_is_asked_for_is_looked_at(machine: Machine) -> None:
    assert {item.kind for item in machine.look("memory", "units").items} == {"memory", "unit", "restarts"}


def test_nothing_to_look_at_is_unknown(machine: Machine) -> None:
    machine.host = type(machine.host)("vm", "vm:9100", mounts=())
    report = machine.look("logs")
    assert (report.level, report.summary) == (Level.UNKNOWN, "nothing to look at")


def test_the_worst_comes_first(machine: Machine) -> None:
    machine.space, machine.unit.state = (1000, 150, 150), "failed"
    machine.log.unlink()
    levels = [item.level for item in machine.look().items]
    assert levels == [
        Level.CRITICAL, Level.WARNING, Level.UNKNOWN, Level.HEALTHY, Level.HEALTHY, Level.HEALTHY
    ]  # fmt: skip
    assert machine.look().summary == "1 critical, 1 warning, 1 unknown, 3 healthy"


@pytest.mark.parametrize(
    ("complaint", "text"),
    [
        ("Failed to connect to bus: \a", "systemctl: Failed to connect to bus: ?"),
        (None, "systemctl: no such"),
    ],
)
def test_without_systemd_units_are_unknown_and_the_rest_is_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, complaint: str | None, text: str
) -> None:
    if complaint is None:
        monkeypatch.setenv("PATH", str(machine.folder))
    else:
        machine.systemctl(complaint)
    assert machine.item("unit").text.startswith(text)
    assert machine.item("unit").level is Level.UNKNOWN
    assert machine.item("mount").level is Level.HEALTHY


def test_a_unit_under_another_name_is_not_what_node_exporter_calls_it(machine: Machine) -> None:
    machine.unit.id = "real.service"
    assert machine.item("unit").level is Level.CRITICAL
    assert machine.item("unit").text == "it is real.service: name it so in the truth"


def test_a_failed_unit_says_why_and_since_when(machine: Machine) -> None:
    machine.unit.state, machine.unit.sub, machine.unit.result = "failed", "failed", "oom-kill"
    item = machine.item("unit")
    assert item.text == "failed (oom-kill)"
    assert item.raised[0].since == NOW - 60
    assert item.raised[0].labels == {
        "alertname": "HostUnitInactive", "severity": "critical", "host": "vm", "unit": "worker.service",
        "team": "vms",
    }  # fmt: skip


def test_restarts_that_nobody_can_date_are_unknown(machine: Machine) -> None:
    machine.unit.restarts = 40
    machine.journal(entries=0)
    item = machine.item("restarts")
    assert (item.level, item.value) == (Level.UNKNOWN, None)
    assert "40 restarts" in item.text
    machine.journal(entries=7)
    assert (machine.item("restarts").level, machine.item("restarts").value) == (Level.WARNING, 7)
    asked = (machine.folder / "asked").read_text().splitlines()[-1]
    assert f"UNIT=worker.service --since=@{int(NOW - 3600)}" in asked


def test_a_journal_is_asked_for_the_window_of_the_rule(machine: Machine) -> None:
    log = Log("worker.service", "worker.service", None, "", 2, 900.0)
    machine.host = type(machine.host)("vm", "vm:9100", mounts=(), logs=(log,))
    machine.journal(entries=3)
    assert (machine.item("log").level, machine.item("log").value) == (Level.WARNING, 3)
    asked = (machine.folder / "asked").read_text().splitlines()[-1]
    assert f"-u worker.service -p err --since=@{int(NOW - 900)}" in asked


def test_a_journal_that_shows_nothing_at_all_is_unknown(machine: Machine) -> None:
    log = Log("worker.service", "worker.service", None, "", 2, 900.0)
    machine.host = type(machine.host)("vm", "vm:9100", mounts=(), logs=(log,))
    machine.journal(entries=0)
    assert machine.item("log").level is Level.HEALTHY
    machine.journal(entries=0, newest=0)
    assert machine.item("log").level is Level.UNKNOWN


async def test_what_hangs_is_unknown_in_time_and_not_asked_twice(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = [], threading.Event()

    def hang(_: str) -> float:
        asked.append(1)
        go_on.wait()
        return 50.0

    monkeypatch.setattr(space, "disk_used", hang)
    check = Check(Time(), longest=0.1)
    for _ in range(2):
        (item,) = (await check.look(machine.host, ["mounts"])).items
        assert (item.level, item.text) == (Level.UNKNOWN, "no answer within 0.1 s")
    assert asked == [1]
    go_on.set()
    for _ in range(200):
        (item,) = (await check.look(machine.host, ["mounts"])).items
        if item.level is Level.HEALTHY:
            break
        await asyncio.sleep(0.02)
    assert item.value == 50.0


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [(8.0, "plain", "8"), (83.25, "decimal", "83.2"), (250, "duration", "4m 10s"), (0.4, "duration", "0s"),
     (-90, "duration", "-1m 30s"), (90_061, "duration", "1d 1h 1m 1s")],
)  # fmt: skip
def test_values_are_written_for_people(value: float, form, text: str) -> None:
    assert spoken(value, form) == text
