"""The units under a real systemd, installed by the very commands of docs/deploying.md. Run as root, by `make test-systemd`."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from healer.stack.servers import cache_folder

from .manager import Systemd, systemd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from healer.stack.servers import Program, Servers

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
NAMES = [unit.stem for unit in UNITS]
LOOSEST = 15
"""The exposure that is allowed, in tenths of the ten points that systemd gives."""

STOP_SECONDS = 2.0
WATCHDOG_SECONDS = 2
HOST = socket.gethostname()
TOKEN = "0123456789abcdef0123456789abcdef"
TRUTH = {
    "buses": {"system-redis": {"url": "redis://127.0.0.1:6379"}},
    "services": {
        "rss_agg": {"heartbeat": {"channel": "rss_agg:heartbeat", "interval_sec": 1, "timeout_sec": 4}},
        "healer": {
            "access_points": {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]},
        },
    },
    "hosts": {
        HOST: {
            "units": ["worker.service"],
            "heartbeat_files": [{"path": "/etc/hostname"}],
            "logs": [{"unit": "worker.service"}],
        }
    },
}
POLICY = {
    "actions": {"restart": {"kind": "command", "command": ["/bin/echo", "{svc}"], "target": "svc"}},
    "rules": [{"match": {"alertname": "HeartbeatMiss"}, "action": "restart"}],
}

WORKER = """
[Service]
ExecStart=/bin/sh -c "echo '<3>it broke'; echo '<6>all is well'; exit 1"
Restart=on-failure
RestartSec=100ms
[Unit]
StartLimitIntervalSec=300
StartLimitBurst=7
"""

MOUNTS = """
ip link set lo up
mount --bind {opt} /opt
mount --bind {root} /mnt
mount --bind {cache} /media
for folder in /tmp /var; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
mkdir -p /var/lib /var/log
mkdir /run/etc /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
mount -t tmpfs tmpfs /etc/systemd
mkdir /etc/systemd/system
mount -o remount,bind,ro /
"""
"""The product's folders, and nothing else, can be written, and none of it outlives the run."""


def shown() -> list[str]:
    """Return the commands by which docs/deploying.md has the units installed."""
    page = (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    section = page.partition("## systemd")[2]
    lines = re.search(r"As root:\n\n((?: {4}.+\n)+)", section)
    assert lines is not None
    return [line.strip() for line in lines[1].splitlines()]


class Machine:
    """What the tests do on the machine."""

    def __init__(self, inside: Systemd) -> None:
        self._inside = inside
        self.shell = inside.shell
        self.run = inside.run

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        done = self._inside.run("/bin/sh", "-c", f"cat > {path}", input=text)
        assert done.returncode == 0, done.stderr

    def serve(self, name: str, program: Program, *arguments: str) -> None:
        """Run one of the servers as a service of the machine."""

        def there(path: object) -> str:
            return str(path).replace(str(cache_folder()), "/media")

        options = [f"--setenv={key}={there(value)}" for key, value in program.environment.items()]
        if program.directory is not None:
            options.append(f"--working-directory={there(program.directory)}")
        argv = [
            "systemd-run",
            f"--unit={name}",
            "--uid=nobody",
            f"--property=StateDirectory={name}",
            *options,
        ]
        done = self._inside.run(*argv, there(program.path), *arguments)
        assert done.returncode == 0, done.stderr

    def show(self, unit: str) -> dict[str, str]:
        """Return a unit's properties."""
        wanted = "ActiveState,SubState,Result,MainPID,NRestarts"
        lines = self.shell(f"systemctl show {unit} --property={wanted}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def active(self, unit: str, *, restarts: int) -> bool:
        """Tell whether a unit is ready, after so many restarts."""
        shown = self.show(unit)
        return (shown["ActiveState"], shown["NRestarts"]) == ("active", str(restarts))

    def get(self, url: str, *options: str) -> str:
        """Ask a daemon; the answer's status follows in a line of its own."""
        options = (
            "--silent",
            "--noproxy",
            "*",
            "--max-time",
            "3",
            "--write-out",
            "\\n%{http_code}",
            *options,
        )
        return self._inside.run("curl", *options, url).stdout


@pytest.fixture(scope="module")
def machine(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with Redis, on which Healer was installed as the page says, and nothing of it runs yet."""
    opt = tmp_path_factory.mktemp("opt")
    opt.chmod(0o755)
    python = [line for line in shown() if "/opt/healer" in line]
    install = ["mount --make-rprivate /", f"mount --bind {opt} /opt", f"cd {ROOT}", *python]
    # The system's own Python: one in somebody's home is out of the units' sight.
    system = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-ec", "\n".join(install)],
        capture_output=True, text=True, check=False, env=system,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    with systemd(MOUNTS.format(opt=opt, root=ROOT, cache=cache_folder()), network=True) as inside:
        inside.shell("\n".join(["cd /mnt", *(line for line in shown() if line not in python)]))
        found = Machine(inside)
        found.write("/etc/healer/truth.json", json.dumps(TRUTH))
        found.write("/etc/healer/autoheal.yml", json.dumps(POLICY))
        found.write("/etc/healer/tokens", f"test {TOKEN}\n")
        found.shell("chown root:healer /etc/healer/tokens; chmod 0640 /etc/healer/tokens")
        found.shell(
            "printf 'AUTOHEAL_ENABLED=true\nAUTOHEAL_DRY_RUN=false\nAUTOHEAL_TOKEN_FILE=/etc/healer/tokens\n'"
            " >> /etc/healer/healer.env"
        )
        found.serve("redis", servers.redis_server, "--save", "", "--dir", "/tmp")
        seed = (
            "TRUTH_REDIS_URL=redis://127.0.0.1:6379 /opt/healer/bin/healer truth seed /etc/healer/truth.json"
        )
        until(lambda: inside.run("/bin/sh", "-c", seed).returncode == 0, 10)
        yield found


def until(condition: Callable[[], object], seconds: float) -> float:
    """Wait for `condition`; return how long that took, and fail after `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.mark.parametrize("name", NAMES)
def test_it_starts_and_says_that_it_is_ready(machine: Machine, name: str) -> None:
    machine.shell(f"systemctl start {name} || {{ journalctl -u {name} -n 20 >&2; exit 1; }}")
    assert machine.show(name)["SubState"] == "running"


def test_the_host_is_called_as_its_hostname_and_looked_at_from_within_the_sandbox(machine: Machine) -> None:
    line = f'host_heartbeat_file_present{{host="{HOST}",path="/etc/hostname"}} 1.0'
    until(lambda: line in machine.get("http://127.0.0.1:9880/metrics").splitlines(), 30)


def test_a_journals_errors_and_a_crash_loop_are_seen_by_the_daemon_and_by_a_check(machine: Machine) -> None:
    metric = f'host_log_errors_total{{host="{HOST}",log="worker.service"}}'

    def counted() -> list[str]:
        lines = machine.get("http://127.0.0.1:9880/metrics").splitlines()
        return [line.removeprefix(metric) for line in lines if line.startswith(metric)]

    until(lambda: counted() == [" 0.0"], 30)
    machine.write("/etc/systemd/system/worker.service", WORKER)
    machine.shell("systemctl daemon-reload; systemctl start worker")
    until(lambda: machine.show("worker")["ActiveState"] == "failed", 30)
    said = machine.shell("journalctl -q -u worker -p err -o cat").splitlines()
    assert said.count("it broke") == 7
    until(lambda: counted() == [f" {len(said)}.0"], 60)

    check = "/opt/healer/bin/healer check --truth /etc/healer/truth.json --json --only units --only logs"
    done = machine.run("/bin/sh", "-c", check)
    found = {item["kind"]: (item["level"], item["value"]) for item in json.loads(done.stdout)["items"]}
    assert done.returncode == 2, "the unit has failed"
    restarts = int(machine.show("worker")["NRestarts"])
    assert found["restarts"] == ("WARNING", restarts)
    assert found["log"] == ("WARNING", len(said))
    assert "notification" not in machine.shell("journalctl -q -u healer-host -o cat"), (
        "its children are silent"
    )


def test_servers_take_what_bundle_writes_and_a_death_becomes_an_event(
    machine: Machine, servers: Servers
) -> None:
    until(lambda: machine.run("test", "-e", "/etc/healer/prometheus/prometheus.yml").returncode == 0, 30)
    arguments = re.findall(
        r'ARGS="(--config\.file=.+)"', (ROOT / "docs/deploying.md").read_text(encoding="utf-8")
    )
    for name, program, given in zip(
        ("prometheus", "alertmanager"), (servers.prometheus, servers.alertmanager), arguments, strict=True
    ):
        flag = "--storage.tsdb.path" if name == "prometheus" else "--storage.path"
        machine.serve(name, program, *given.split(), f"{flag}=/var/lib/{name}")
    until(lambda: machine.get("http://127.0.0.1:9879/-/ready").endswith("200"), 60)
    client = "/opt/healer/bin/healer beat rss_agg --url redis://127.0.0.1:6379"
    machine.shell(f"{client}; {client}")
    health = "import redis; print(redis.Redis().get('health:rss_agg'))"
    until(lambda: "heartbeat_miss" in machine.shell(f'/opt/healer/bin/python -c "{health}"'), 60)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_started_again_when_it_is_killed(machine: Machine, name: str) -> None:
    before = machine.show(name)
    machine.shell(f"systemctl kill --signal=KILL --kill-who=main {name}")
    until(lambda: machine.active(name, restarts=1), 15)
    assert machine.show(name)["MainPID"] != before["MainPID"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_started_again_when_it_hangs(machine: Machine, name: str) -> None:
    folder = f"/run/systemd/system/{name}.service.d"
    machine.shell(f"mkdir -p {folder}")
    machine.write(f"{folder}/watchdog.conf", f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\n")
    machine.shell(f"systemctl daemon-reload; systemctl restart {name}; sleep {2 * WATCHDOG_SECONDS + 1}")
    assert machine.active(name, restarts=0), "the watchdog is fed while all is well"
    pid = machine.show(name)["MainPID"]
    machine.shell(f"kill -STOP {pid}")
    # Type=notify: it counts as started when it says so.
    until(lambda: machine.active(name, restarts=1) and machine.show(name)["MainPID"] != pid, 30)


def test_autoheal_runs_a_command_in_its_sandbox(machine: Machine) -> None:
    alert = {
        "status": "firing", "labels": {"alertname": "HeartbeatMiss", "svc": "rss_agg"},
        "annotations": {}, "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "1",
    }  # fmt: skip
    webhook = {"version": "4", "status": "firing", "alerts": [alert], "receiver": "x", "groupKey": "x"}
    who = ("--header", f"Authorization: Bearer {TOKEN}")
    sent = ("--data", json.dumps(webhook), "--header", "Content-Type: application/json")
    answer = machine.get("http://127.0.0.1:9009/alert", *who, *sent)
    assert answer.endswith("200"), answer
    until(lambda: "action_ok" in machine.get("http://127.0.0.1:9009/audit", *who), 10)


def test_one_that_cannot_start_is_given_up(machine: Machine) -> None:
    name, folder = "healer-exporter", "/run/systemd/system/healer-exporter.service.d"
    machine.write(
        f"{folder}/broken.conf", "[Service]\nRestartSec=50ms\nEnvironment=TRUTH_REDIS_URL=nonsense\n"
    )
    machine.shell("mv /etc/healer/healer.env /etc/healer/healer.env.off")
    machine.shell(f"systemctl daemon-reload; systemctl reset-failed {name}; systemctl restart {name} || true")
    until(lambda: machine.show(name)["ActiveState"] == "failed", 60)
    assert int(machine.show(name)["NRestarts"]) <= 10
    machine.shell(
        f"mv /etc/healer/healer.env.off /etc/healer/healer.env; rm {folder}/broken.conf;"
        f" systemctl daemon-reload; systemctl reset-failed {name}; systemctl start {name}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_stops_at_once_and_cleanly(machine: Machine, name: str) -> None:
    began = time.monotonic()
    machine.shell(f"systemctl stop {name}")
    assert time.monotonic() - began < STOP_SECONDS
    assert (machine.show(name)["ActiveState"], machine.show(name)["Result"]) == ("inactive", "success")


@pytest.fixture
def installed(unit: Path, tmp_path: Path) -> Path:
    """The unit, starting the healer of this Python instead of the one in /opt."""
    copy = tmp_path / unit.name
    healer = Path(sys.executable).with_name("healer")
    copy.write_text(unit.read_text(encoding="utf-8").replace("/opt/healer/bin/healer", str(healer)))
    return copy


@pytest.mark.parametrize("unit", UNITS, ids=NAMES)
def test_systemd_takes_it(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, check=False
    )
    about_it = [line for line in done.stderr.splitlines() if installed.stem in line]
    assert (done.returncode, about_it) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=NAMES)
def test_its_exposure_is_small(installed: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={LOOSEST}", installed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:]
