"""What `healer check` prints and exits with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from click.testing import CliRunner, Result
from tests.host.conftest import Time, Unit
from tests.host.test_restart import schema

from healer.host import command
from healer.host.findings import Item, Report
from healer.truth.limits import Level

if TYPE_CHECKING:
    from tests.host.conftest import Machine

LONG = "/var/lib/a-very-long-name/of-a-folder/in-which/another/one/is/heartbeat.txt"


def run(machine: Machine, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    """Run the command on `machine`, at its time."""
    monkeypatch.setattr(command, "SystemClock", Time)
    machine.look()  # writes what systemctl says
    host = {
        "node_exporter": "vm:9100",
        "units": ["worker.service"],
        "mounts": ["/data"],
        "heartbeat_files": [{"path": str(machine.beat)}],
        "logs": [{"path": str(machine.log)}],
    }
    wiring = {"subscribe_to": [{"bus": "system-redis", "key": "w:heartbeat"}]}
    truth = machine.folder / "truth.json"
    truth.write_text(json.dumps({"services": {"healer": {"access_points": wiring}}, "hosts": {"vm": host}}))
    return CliRunner().invoke(command.check, ["--truth", str(truth), *options])


@pytest.mark.parametrize(
    ("prepare", "code", "last"),
    [
        (lambda _: None, 0, "vm is HEALTHY: 6 healthy"),
        (lambda machine: machine.touch(301), 1, "vm is WARNING: 1 warning, 5 healthy"),
        (
            lambda machine: setattr(machine, "unit", Unit("failed")),
            2,
            "vm is CRITICAL: 1 critical, 5 healthy",
        ),
        (lambda machine: setattr(machine, "space", None), 3, "vm is UNKNOWN: 1 unknown, 5 healthy"),
    ],
)
def test_exits_as_monitoring_plugins_do(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, prepare, code: int, last: str
) -> None:
    prepare(machine)
    result = run(machine, monkeypatch, "--host", "vm")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (code, last)
    shown = run(machine, monkeypatch, "--host", "vm", "--json")
    assert shown.exit_code == code
    jsonschema.validate(json.loads(shown.stdout), schema())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "vm", "--nope"], "No such option"),
        (["--host", "vm", "--only", "cpu"], "'cpu' is not one of"),
        (["--host", "vn"], "no host 'vn'; it has: vm."),
        (["--host", "vm", "--truth", "/nope.json"], "/nope.json"),
    ],
)
def test_misuse_is_unknown_not_critical(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    result = run(machine, monkeypatch, *options)
    assert result.exit_code == 3
    assert said in result.stderr


def test_without_a_name_it_is_this_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.socket, "gethostname", lambda: "vm")
    assert run(machine, monkeypatch, "--only", "memory").stdout == (
        "HEALTHY   memory  60.0 % in use, high above 90 %\nvm is HEALTHY: 1 healthy\n"
    )


def test_a_line_has_80_columns_at_most_and_keeps_the_ends_of_a_path() -> None:
    items = (
        Item("heartbeat_file", LONG, Level.WARNING, "2h 3m 4s old, stale after 5m", 7384.0),
        Item("unit", "worker.service", Level.UNKNOWN, "x" * 100, None),
        Item("memory", "memory", Level.HEALTHY, "41.0 % in use, high above 90 %", 41.0),
    )
    found = command.lines(Report("vm", 0.0, items), 80)
    assert found == [
        "WARNING   heartbeat file /var/li…heartbeat.txt  2h 3m 4s old, stale after 5m",
        f"UNKNOWN   unit worker.service                   {'x' * 31}…",
        "HEALTHY   memory                                41.0 % in use, high above 90 %",
        "vm is WARNING: 1 warning, 1 unknown, 1 healthy",
    ]
    assert max(map(len, found)) <= 80
