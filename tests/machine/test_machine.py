"""A host with a real node_exporter, `healer host`, Prometheus and Alertmanager: what is done to it raises its alerts, and they clear.

Run as root, by `make test-host`. The units are those of a systemd in namespaces of its own (tests/systemd/manager.py), which also
holds the disk: a tmpfs of 8 MiB. node_exporter runs in there and asks that systemd over its private socket. Of /proc it sees a
meminfo that the test writes. Only the waits of the rules (`for`) are shortened, to two seconds.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from tests.dashboards.conftest import TIMES, USUAL, asked
from tests.systemd.manager import Systemd, systemd

from healer.bundle import Settings, render, write
from healer.runtime.tasks import end
from healer.stack import stack
from healer.stack.probes import http_ok
from healer.stack.process import Command
from healer.stack.servers import find_node_exporter
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.host, pytest.mark.timeout(600)]
PATIENCE = 120
"""Seconds within which an alert comes or goes, on the busiest machine."""

MEMINFO = "MemTotal: 1000000 kB\nMemFree: 1000 kB\nMemAvailable: {available} kB\n"
UNIT = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/sleep infinity\n"
LOOPING = "[Unit]\nDefaultDependencies=no\nStartLimitBurst=50\n[Service]\nExecStart=/bin/{}\nRestart=always\nRestartSec=200ms\n"
OPTIONS = (
    "--collector.disable-defaults",
    "--collector.filesystem",
    "--collector.meminfo",
    "--collector.systemd",
    "--collector.systemd.enable-restarts-metrics",
    "--collector.systemd.private",
)
DISK = "HostDiskFilling", "HostDiskFull"


class Machine:
    """What is done to the host, and which alerts Alertmanager has of it."""

    def __init__(self, inside: Systemd, folder: Path, alertmanager: str, prometheus: str) -> None:
        self.inside = inside
        self.prometheus = prometheus
        self.disk, self.beat, self.log = folder / "disk", folder / "beat", folder / "worker.log"
        self._procfs, self._alertmanager = folder / "proc", alertmanager
        self.beats = True
        self._truth = folder / "truth.json"

    def shell(self, text: str) -> None:
        """Run a script on it."""
        self.inside.shell(text)

    def memory(self, available: int) -> None:
        """Have so many of a million kB available."""
        (self._procfs / "meminfo.new").write_text(MEMINFO.format(available=available))
        (self._procfs / "meminfo.new").replace(self._procfs / "meminfo")

    def check(self) -> tuple[str, int]:
        """Return the level and the exit status of `healer check` on it; memory is left out, for the kernel's is not faked."""
        wanted = ("units", "mounts", "heartbeat_files")
        options = ["--json", *(f"--only={each}" for each in wanted)]
        command = [
            sys.executable,
            "-m",
            "healer",
            "check",
            "--host",
            "vm-1",
            "--truth",
            str(self._truth),
            *options,
        ]
        done = self.inside.run(*command)
        return json.loads(done.stdout)["level"], done.returncode

    async def live(self) -> None:
        """Beat into the file each second, as a worker does while it works."""
        while True:
            if self.beats:
                self.beat.touch()
            await asyncio.sleep(1)

    async def alerts(self) -> dict[str, dict[str, str]]:
        """Return the labels of what fires, by alertname."""
        async with ClientSession() as session:
            answer = await session.get(f"{self._alertmanager}/api/v2/alerts")
            found: list[dict[str, Any]] = await answer.json()
        return {
            alert["labels"]["alertname"]: alert["labels"] for alert in found if alert["labels"].get("host")
        }

    async def without_data(self) -> list[str]:
        """Return the panels of the dashboard that have a query without an answer."""
        lacking = []
        async with ClientSession() as session:
            for query in asked(USUAL | TIMES):
                if query.board != "hosts" or query.kind == "annotation":
                    continue
                given = {"query": query.expression}
                answer = await session.post(f"{self.prometheus}/api/v1/query", data=given)
                said = await answer.json()
                assert said["status"] == "success", (query, said)
                if not said["data"]["result"]:
                    lacking.append(query.panel)
        return lacking

    async def knows(self, *series: str) -> None:
        """Wait until Prometheus has something of each of these series."""
        url, began = f"{self.prometheus}/api/v1/query", time.monotonic()
        async with ClientSession() as session:
            for name in series:
                while not (await (await session.post(url, data={"query": name})).json())["data"]["result"]:
                    assert time.monotonic() - began < PATIENCE, name
                    await asyncio.sleep(0.5)

    async def wait(self, *names: str) -> dict[str, dict[str, str]]:
        """Wait until exactly these alerts fire."""
        began = time.monotonic()
        while set(found := await self.alerts()) != set(names):
            assert time.monotonic() - began < PATIENCE, f"expected {names}, got {found}"
            await asyncio.sleep(0.5)
        return found


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Systemd]:
    disk, procfs = tmp_path / "disk", tmp_path / "proc"
    disk.mkdir()
    procfs.mkdir()
    (procfs / "1").symlink_to("/proc/1")
    with systemd(f"mount -t tmpfs -o size=8m tmpfs {disk}") as inside:
        for name, text in (("worker", UNIT), ("looper", LOOPING.format("sleep infinity"))):
            inside.run("/bin/sh", "-c", f"cat > /run/systemd/system/{name}.service", input=text)
        inside.shell("systemctl daemon-reload; systemctl start worker looper")
        yield inside


@pytest_asyncio.fixture
async def machine(inside: Systemd, servers, ports, tmp_path: Path) -> Any:
    node, probe, prometheus_port, manager_port = (ports.take() for _ in range(4))
    host = {
        "node_exporter": f"127.0.0.1:{node}",
        "healer_host": f"127.0.0.1:{probe}",
        "units": ["worker.service", "looper.service"],
        "mounts": [str(tmp_path / "disk")],
        "restarts": {"more_than": 2, "window_sec": 30},
        "heartbeat_files": [{"path": str(tmp_path / "beat"), "timeout_sec": 25}],
        "logs": [{"path": str(tmp_path / "worker.log"), "more_than": 2, "window_sec": 60}],
        "team": "vms",
    }
    wiring = {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]}
    document = {"services": {"healer": {"access_points": wiring}}, "hosts": {"vm-1": host}}
    (tmp_path / "truth.json").write_text(json.dumps(document))
    settings = Settings(
        alertmanagers=(f"127.0.0.1:{manager_port}",),
        prometheus=(f"127.0.0.1:{prometheus_port}",),
        scrape_interval=1,
        evaluation_interval=1,
        resend_delay=1,
        group_interval=1,
    )
    bundle = tmp_path / "bundle"
    write(render(parse((tmp_path / "truth.json").read_bytes(), env={}).truth, settings), bundle)
    rules = bundle / "rules/host.rules.yml"
    rules.write_text(re.sub(r"for: \dm", "for: 2s", rules.read_text()))
    found = Machine(
        inside, tmp_path, f"http://127.0.0.1:{manager_port}", f"http://127.0.0.1:{prometheus_port}"
    )
    found.memory(900_000)
    found.beat.touch()
    found.log.write_text("started\n")
    exporter = find_node_exporter().path
    enter = (str(shutil.which("nsenter")), f"--target={inside.pid}", "--mount", "--pid", "--cgroup")
    argv = (
        *enter,
        exporter,
        f"--web.listen-address=127.0.0.1:{node}",
        f"--path.procfs={tmp_path / 'proc'}",
        *OPTIONS,
    )
    parts = [
        stack.Server(Command("node", argv, http_ok(f"http://127.0.0.1:{node}/metrics")), tmp_path, node),
        stack.healer(
            "host", tmp_path, probe, {},
            options=("--host", "vm-1", "--truth", tmp_path / "truth.json", "--state", tmp_path / "state"),
        ),
        stack.alertmanager(servers.alertmanager, tmp_path, manager_port, bundle / "alertmanager/alertmanager.yml"),
        stack.prometheus(
            servers.prometheus, tmp_path, prometheus_port, bundle / "prometheus/prometheus.yml", resend_delay=1
        ),
    ]  # fmt: skip
    living = asyncio.create_task(found.live())
    try:
        for part in parts:
            await part.start()
            await part.wait_ready()
        yield found
    finally:
        await end([living])
        for part in parts:
            await part.kill()


async def test_each_trouble_raises_its_alert_with_its_level_and_clears(machine: Machine) -> None:
    await machine.wait()

    machine.shell("systemctl kill --signal=KILL worker")
    machine.shell(f"head -c 7000000 /dev/zero > {machine.disk}/filling")
    machine.memory(50_000)
    found = await machine.wait("HostUnitInactive", "HostDiskFilling", "HostMemoryHigh")
    assert found["HostUnitInactive"]["unit"] == "worker.service"
    assert found["HostDiskFilling"]["mountpoint"] == str(machine.disk)
    assert [found[name]["severity"] for name in sorted(found)] == ["warning", "warning", "critical"]
    assert {labels["team"] for labels in found.values()} == {"vms"}
    assert machine.check() == ("CRITICAL", 2)

    machine.shell(f"head -c 1000000 /dev/zero > {machine.disk}/full")
    machine.shell("systemctl start worker")
    machine.memory(900_000)
    found = await machine.wait(*DISK)
    assert found["HostDiskFull"]["severity"] == "critical"
    assert machine.check() == ("CRITICAL", 2)

    machine.shell(f"rm {machine.disk}/*")
    await machine.wait()
    assert machine.check() == ("HEALTHY", 0)


async def test_a_heartbeat_file_grows_stale_disappears_and_comes_back(machine: Machine) -> None:
    await machine.wait()
    machine.beats = False
    found = await machine.wait("HeartbeatFileStale")
    assert found["HeartbeatFileStale"]["path"] == str(machine.beat)
    assert found["HeartbeatFileStale"]["severity"] == "warning"
    assert machine.check() == ("WARNING", 1)
    machine.beat.unlink()
    found = await machine.wait("HeartbeatFileMissing")
    assert found["HeartbeatFileMissing"]["severity"] == "warning"
    assert machine.check() == ("WARNING", 1)
    machine.beats = True
    await machine.wait()
    assert machine.check() == ("HEALTHY", 0)


async def test_errors_across_a_rotation_are_counted_and_forgotten(machine: Machine) -> None:
    # What is in a log when it is looked at for the first time is no news.
    await machine.knows("host_log_errors_total")
    await machine.wait()
    with machine.log.open("a") as log:
        log.write("ERROR one\nall is well\nERROR two\n\xff\x00\n")
    machine.log.rename(f"{machine.log}.1")
    machine.log.write_text("ERROR three\n")
    found = await machine.wait("HostLogErrors")
    assert (found["HostLogErrors"]["log"], found["HostLogErrors"]["severity"]) == (
        str(machine.log),
        "warning",
    )
    await machine.wait()


async def test_a_unit_that_crashes_on_and_on_and_then_lives(machine: Machine) -> None:
    await machine.wait()
    for _ in range(6):
        machine.shell("systemctl kill --signal=KILL looper; sleep 2")
    found = await machine.wait("HostUnitCrashLoop")
    assert (found["HostUnitCrashLoop"]["unit"], found["HostUnitCrashLoop"]["severity"]) == (
        "looper.service",
        "warning",
    )
    await machine.wait()


async def test_a_mount_that_is_gone_is_unknown_and_its_alerts_stay_as_they_are(machine: Machine) -> None:
    await machine.wait()
    machine.shell(f"head -c 7000000 /dev/zero > {machine.disk}/filling")
    await machine.wait("HostDiskFilling")
    machine.shell(f"umount {machine.disk}")
    found = await machine.wait("HostDiskFilling", "HostProbeFailed")
    assert (found["HostProbeFailed"]["probe"], found["HostProbeFailed"]["target"]) == (
        "mountpoint",
        str(machine.disk),
    )
    assert machine.check() == ("UNKNOWN", 3)
    machine.shell(f"mount -t tmpfs -o size=8m tmpfs {machine.disk}")
    await machine.wait()


async def test_every_query_of_the_dashboard_has_an_answer(machine: Machine) -> None:
    # What is counted, and what is remembered of a disk, has to have been seen before.
    await machine.knows(
        "host_mountpoint:disk_used:percent", "host_log_errors_total", "node_systemd_service_restart_total"
    )
    machine.shell(f"systemctl kill --signal=KILL worker; umount {machine.disk}")
    await machine.wait("HostUnitInactive", "HostProbeFailed")
    began = time.monotonic()
    while lacking := await machine.without_data():
        assert time.monotonic() - began < PATIENCE, lacking
        # Errors and restarts are shown step by step: something has to happen in the newest.
        with machine.log.open("a") as log:
            log.write("ERROR one more\n")
        machine.shell("systemctl kill --signal=KILL looper; sleep 2")
