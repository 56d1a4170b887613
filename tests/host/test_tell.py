"""`healer check --alert`, with a real Alertmanager."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.host.conftest import NOW

from healer.host.ask import AskError, Server
from healer.host.tell import Told, tell
from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.host.conftest import Machine

    from healer.host.findings import Report
    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

FULL = {
    "alertname": "HostDiskFull",
    "severity": "critical",
    "host": "vm",
    "mountpoint": "/data",
    "team": "vms",
}
FILLING = {**FULL, "alertname": "HostDiskFilling", "severity": "warning"}


def runbook(alert: str) -> str:
    return f"https://runbooks.example/{alert}"


async def told(report: Report, manager: Server) -> Told:
    # A day: `NOW` is when the tests were begun, and Alertmanager's clock is the real one.
    return await tell(report, manager, runbook, stands=86_400)


async def active(manager: Server) -> list[dict[str, Any]]:
    return sorted(await manager.ask("GET", "/api/v2/alerts"), key=lambda alert: alert["labels"]["alertname"])


async def labels(manager: Server) -> list[dict[str, str]]:
    return [alert["labels"] for alert in await active(manager)]


@pytest_asyncio.fixture
async def manager(servers: Servers, ports: Ports, tmp_path: Path) -> AsyncIterator[Server]:
    config = tmp_path / "alertmanager.yml"
    config.write_text(json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}))
    server = stack.alertmanager(servers.alertmanager, tmp_path, ports.take(), config)
    await server.start()
    try:
        await server.wait_ready()
        yield Server("Alertmanager", f"http://127.0.0.1:{server.port}/")
    finally:
        await server.kill()


async def test_raises_what_the_rules_would_once_and_resolves_it(machine: Machine, manager: Server) -> None:
    machine.space = (1000, 50, 50)
    report = await machine.looked()
    assert await told(report, manager) == Told(2, 0)
    assert await told(report, manager) == Told(2, 0)
    assert await labels(manager) == [FILLING, FULL]
    full = (await active(manager))[1]
    assert full["annotations"] == {
        "summary": "Disk /data on vm is almost full.",
        "description": "95.0 % of /data on vm is used.",
        "runbook_url": "https://runbooks.example/HostDiskFull",
    }
    machine.space = (1000, 150, 150)
    assert await told(await machine.looked(), manager) == Told(1, 1)
    assert await labels(manager) == [FILLING]
    machine.space = (1000, 500, 500)
    assert await told(await machine.looked(), manager) == Told(0, 1)
    assert await labels(manager) == []
    assert await told(await machine.looked(), manager) == Told(0, 0)


async def test_what_was_not_looked_at_or_is_unknown_stays(machine: Machine, manager: Server) -> None:
    machine.space = (1000, 50, 50)
    await told(await machine.looked(), manager)
    assert await told(await machine.looked("memory"), manager) == Told(0, 0)
    machine.space = None
    assert await told(await machine.looked(), manager) == Told(1, 0)
    unknown = {
        "alertname": "HostProbeFailed", "severity": "warning", "host": "vm", "probe": "mountpoint",
        "target": "/data", "team": "vms",
    }  # fmt: skip
    assert await labels(manager) == [FILLING, FULL, unknown]
    machine.space = (1000, 500, 500)
    assert await told(await machine.looked(), manager) == Told(0, 3)
    assert await labels(manager) == []


async def test_what_prometheus_repeats_is_prometheus_to_resolve(machine: Machine, manager: Server) -> None:
    machine.space = (1000, 150, 150)
    await told(await machine.looked(), manager)
    theirs = [{"labels": FILLING, "generatorURL": "http://prometheus.example/graph"}]
    await manager.ask("POST", "/api/v2/alerts", body=theirs)
    assert await labels(manager) == [FILLING]
    machine.space = (1000, 500, 500)
    assert await told(await machine.looked(), manager) == Told(0, 0)
    assert await labels(manager) == [FILLING]


async def test_another_hosts_alerts_stay(machine: Machine, manager: Server) -> None:
    machine.space = (1000, 50, 50)
    machine.host = replace(machine.host, name='vm "2"\\')
    await told(await machine.looked(), manager)
    machine.host, machine.space = replace(machine.host, name="vm"), (1000, 500, 500)
    assert await told(await machine.looked(), manager) == Told(0, 0)
    machine.host = replace(machine.host, name='vm "2"\\')
    assert await told(await machine.looked(), manager) == Told(0, 2)


async def test_a_stale_file_is_so_since_its_time_was_up(machine: Machine, manager: Server) -> None:
    machine.touch(400)
    await told(await machine.looked(), manager)
    (alert,) = await active(manager)
    assert alert["labels"]["alertname"] == "HeartbeatFileStale"
    assert alert["annotations"]["description"].endswith("was last written 6m 40s before it was looked at.")
    (finding,) = (finding for item in (await machine.looked()).items for finding in item.raised)
    assert finding.since == NOW - 100


async def test_an_alertmanager_that_is_out_is_said_so(machine: Machine, free_port: int) -> None:
    manager = Server("Alertmanager", f"http://user:secret@127.0.0.1:{free_port}")
    with pytest.raises(AskError, match=f"^Alertmanager at http://127.0.0.1:{free_port}: .*connect") as raised:
        await told(await machine.looked(), manager)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer within 0.3 s"),
        (b"HTTP/1.1 503 Sorry\r\nContent-Length: 5\r\n\r\nlater", "HTTP status 503: later"),
        (
            b"HTTP/1.1 302 Away\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
            "HTTP status 302",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n[{},{}]\n", "no alerts"),
    ],
)
async def test_an_alertmanager_that_answers_badly_is_said_so(
    machine: Machine, answer: bytes, why: str
) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(AskError, match=why):
            await told(
                await machine.looked(), Server("Alertmanager", f"http://127.0.0.1:{port}", seconds=0.3)
            )
        await gone.wait()
