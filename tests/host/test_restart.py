"""`healer check --restart`, with a real autoheal: its gates decide, and nothing is executed beside it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from tests.autoheal.conftest import TOKEN, Autoheal, autoheal  # noqa: F401  # the latter is a fixture
from tests.host.conftest import NOW

from healer.host.ask import AskError, Server
from healer.host.restart import ask_for_restarts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.host.conftest import Machine

    from healer.host.restart import Decision

    Start = Callable[..., Awaitable[Autoheal]]

UNIT = "worker.service"


def policy(folder: Path, **top: Any) -> str:
    """Return a policy that restarts units; a program that notes what it is asked for stands in for systemctl."""
    program = folder / "restarter"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/restarted\n')
    program.chmod(0o755)
    values = {"unit": "worker\\.service"}
    action = {"kind": "systemctl-restart", "unit": "{unit}", "values": values, "executable": str(program)}
    rules = [{"match": {"alertname": "HostUnitInactive"}, "action": "restart unit"}]
    return json.dumps({"actions": {"restart unit": action}, "rules": rules, **top})


def restarted(folder: Path) -> list[str]:
    path = folder / "restarted"
    return path.read_text().splitlines() if path.exists() else []


async def decisions(machine: Machine, heal: Autoheal) -> list[Decision]:
    server = Server("autoheal", heal.url, TOKEN)
    # autoheal's time goes on: what it did is not over before it began.
    report = replace(await machine.looked(), ts=time.time())
    return await ask_for_restarts(report, server, lambda alert: f"https://runbooks.example/{alert}")


def failed(machine: Machine) -> None:
    machine.unit.state = machine.unit.sub = "failed"


async def test_a_dry_run_says_what_it_would_do(machine: Machine, autoheal: Start, tmp_path: Path) -> None:  # noqa: F811
    heal = await autoheal(policy(tmp_path), live=False, AUTOHEAL_ENABLED="true")
    failed(machine)
    (found,) = await decisions(machine, heal)
    assert (found.alert, found.name, found.kind, found.why) == (
        "HostUnitInactive",
        UNIT,
        "action_dry_run",
        "",
    )
    assert found.command.startswith(f"{tmp_path}/restarter --no-ask-password restart ")
    assert found.command.endswith(UNIT)
    assert restarted(tmp_path) == []


async def test_one_that_is_disabled_refuses(machine: Machine, autoheal: Start, tmp_path: Path) -> None:  # noqa: F811
    heal = await autoheal(policy(tmp_path), live=False)
    failed(machine)
    (found,) = await decisions(machine, heal)
    assert (found.kind, found.why.partition(":")[0]) == ("decision_skip", "disabled")


async def test_a_restart_happens_once_and_its_waits_begin_anew_when_all_is_well(
    machine: Machine,
    autoheal: Start,  # noqa: F811
    tmp_path: Path,
) -> None:
    heal = await autoheal(policy(tmp_path))
    assert await decisions(machine, heal) == []
    assert await heal.audit(kind="webhook_received") == []
    failed(machine)
    (first,) = await decisions(machine, heal)
    assert (first.alert, first.name, first.kind) == ("HostUnitInactive", UNIT, "action_ok")
    assert [line.split()[-1] for line in restarted(tmp_path)] == [UNIT]
    (again,) = await decisions(machine, heal)
    assert again.kind == "decision_skip"
    assert again.why.partition(":")[0] in {"duplicate", "cooldown"}
    assert len(restarted(tmp_path)) == 1
    (start,) = await heal.audit(kind="alert_accepted")
    assert start["payload"]["labels"] == {
        "alertname": "HostUnitInactive", "severity": "critical", "host": "vm", "unit": UNIT, "team": "vms",
    }  # fmt: skip
    machine.unit.state = "active"
    assert await decisions(machine, heal) == []
    (target,) = (await heal.status())["targets"]
    assert target["healthy"]
    received = len(await heal.audit(kind="webhook_received"))
    assert await decisions(machine, heal) == []
    assert len(await heal.audit(kind="webhook_received")) == received


async def test_a_restart_that_waits_is_not_waited_for_and_not_done_if_all_is_well_meanwhile(
    machine: Machine,
    autoheal: Start,  # noqa: F811
    tmp_path: Path,
) -> None:
    heal = await autoheal(policy(tmp_path, backoff={"first_sec": 250, "before_first": True}))
    failed(machine)
    machine.unit.changed = NOW - time.time()  # the host's time stands still, autoheal's does not
    (found,) = await decisions(machine, heal)
    assert found.kind == "alert_accepted"
    assert re.fullmatch(r"it waits \d+(\.\d+)? s", found.why)
    (waiting,) = (await heal.status())["waiting"]
    assert (waiting["alertname"], waiting["target"]) == ("HostUnitInactive", UNIT)
    assert 0 < waiting["backoff_sec"] <= 250
    machine.unit.state = "active"
    assert await decisions(machine, heal) == []
    assert (await heal.status())["waiting"] == []
    assert (await heal.reasons()).count("not_firing") == 2
    assert restarted(tmp_path) == []


async def test_the_kill_switch_and_the_policy_hold(machine: Machine, autoheal: Start, tmp_path: Path) -> None:  # noqa: F811
    heal = await autoheal(policy(tmp_path))
    heal.kill_switch.touch()
    failed(machine)
    machine.touch(1000)
    machine.space, machine.unit.restarts = (1000, 1, 1), 9
    machine.journal(entries=9)
    assert {each.why.partition(":")[0] for each in await decisions(machine, heal)} == {"kill_switch"}
    heal.kill_switch.unlink()
    machine.unit.state = "active"
    found = {each.alert: each.why.partition(":")[0] for each in await decisions(machine, heal)}
    assert found == {"HostUnitCrashLoop": "rule", "HeartbeatFileStale": "rule"}
    assert restarted(tmp_path) == []


async def test_one_that_is_out_or_wants_another_token_is_said_so(
    machine: Machine,
    autoheal: Start,  # noqa: F811
    tmp_path: Path,
    free_port: int,
) -> None:
    failed(machine)
    report = await machine.looked()
    with pytest.raises(AskError, match=f"^autoheal at http://127.0.0.1:{free_port}: .*connect"):
        await ask_for_restarts(report, Server("autoheal", f"http://127.0.0.1:{free_port}"), str)
    heal = await autoheal(policy(tmp_path))
    with pytest.raises(AskError, match="HTTP status 401"):
        await ask_for_restarts(report, Server("autoheal", heal.url, "wrong-wrong-wrong-wrong"), str)
    assert await heal.audit(kind="webhook_received") == []


async def check(machine: Machine, *options: str) -> tuple[int, str, str]:
    """Run the command; of this machine's own disks and memory it is not asked."""
    await machine.looked()  # writes what systemctl says
    host = {"node_exporter": "vm:9100", "units": [UNIT], "heartbeat_files": [{"path": str(machine.beat)}]}
    wiring = {"subscribe_to": [{"bus": "system-redis", "key": "w:heartbeat"}]}
    truth = machine.folder / "truth.json"
    truth.write_text(json.dumps({"services": {"healer": {"access_points": wiring}}, "hosts": {"vm": host}}))
    os.utime(machine.beat)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "healer", "check", "--host", "vm", "--truth", str(truth)),
        *("--only", "units", "--only", "heartbeat_files", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def schema() -> dict[str, Any]:
    """Return the schema that docs/check.md promises."""
    text = (Path(__file__).parents[2] / "docs/check.md").read_text()
    found: dict[str, Any] = json.loads(text.partition("```json\n")[2].partition("```")[0])
    return found


async def test_the_command_says_what_was_decided_and_exits_with_the_level(
    machine: Machine,
    autoheal: Start,  # noqa: F811
    tmp_path: Path,
    free_port: int,
) -> None:
    heal = await autoheal(policy(tmp_path))
    failed(machine)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    code, out, err = await check(
        machine, "--restart", "--autoheal-url", heal.url, "--autoheal-token-file", str(token)
    )
    assert (code, err) == (2, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"CRITICAL  unit {UNIT}")
    assert lines[-2].startswith(f"autoheal, HostUnitInactive {UNIT}: action_ok, {tmp_path}/restarter ")
    assert lines[-1] == "vm is CRITICAL: 1 critical, 2 healthy"
    dead = f"http://127.0.0.1:{free_port}"
    code, out, err = await check(
        machine, "--json", "--restart", "--autoheal-url", dead, "--alert", "--alertmanager-url", dead
    )
    assert code == 4
    shown = json.loads(out)
    jsonschema.validate(shown, schema())
    assert shown["level"] == "CRITICAL"
    assert "connect" in shown["alert"]["error"]
    assert "connect" in shown["restart"]["error"]
    assert [line.partition(".")[0] for line in err.splitlines()] == [
        "Error: nobody was alerted", "Error: no restart was asked for",
    ]  # fmt: skip
    assert len(restarted(tmp_path)) == 1
