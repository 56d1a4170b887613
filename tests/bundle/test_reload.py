"""A truth edited while Prometheus runs: the removed service falls silent, the others keep their alerts' state."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import aiohttp
import pytest_asyncio
from aiohttp import web
from tests.bundle.conftest import FORMS, service, truth

from healer.bundle import Settings, render, shape, write
from healer.stack.stack import Server, prometheus
from healer.truth.model import Monitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers
    from healer.truth.model import Truth

PATIENCE_SECONDS = 30.0
MEMORY_SECONDS = 3.0
"""How far apart, of many services, the evaluations are that write down what is remembered: six of the others."""


class Running:
    """A Prometheus with the rules of a truth, which scrapes an exporter that never heard anybody."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        url: str,
        session: aiohttp.ClientSession,
        server: Server,
        form: str,
    ) -> None:
        self._server = server
        self._form = form
        self._folder = folder
        self._settings = settings
        self._url = url
        self._session = session

    def write(self, of: Truth) -> None:
        pace = ((0, MEMORY_SECONDS),) if self._form == "many" else shape.LEISURELY
        settings = replace(self._settings, rule_shards=3 if self._form == "shards" else 1)
        with mock.patch.object(shape, "LEISURELY", pace):
            write(render(of, settings), self._folder)

    async def reload(self, of: Truth) -> None:
        self.write(of)
        async with self._session.post(f"{self._url}/-/reload") as response:
            assert response.status == 200, await response.text()

    async def restart(self, of: Truth) -> None:
        await self._server.stop()
        self.write(of)
        await self._server.start()
        await self._server.wait_ready()

    async def unhealthy(self) -> list[str]:
        """Rules whose last evaluation failed."""
        async with self._session.get(f"{self._url}/api/v1/rules") as response:
            groups = (await response.json())["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._url}/api/v1/query", params={"query": expr}) as response:
            result: list[dict[str, Any]] = (await response.json())["data"]["result"]
            return result

    async def alerts(self, name: str) -> list[dict[str, Any]]:
        """An alert's firing instances. (Not those of ALERTS: the series of before a restart look present.)"""
        async with self._session.get(f"{self._url}/api/v1/alerts") as response:
            every = (await response.json())["data"]["alerts"]
        return [each for each in every if each["labels"]["alertname"] == name and each["state"] == "firing"]

    async def firing(self, name: str) -> dict[str, str]:
        """Services for which an alert fires, and since when."""
        return {each["labels"].get("svc", ""): each["activeAt"] for each in await self.alerts(name)}

    async def until_missing(self, *names: str) -> dict[str, str]:
        """Wait until exactly these are missing; return since when."""
        for _ in range(int(PATIENCE_SECONDS / 0.1)):
            missing = await self.firing("HeartbeatMiss")
            if set(missing) == set(names):
                return missing
            await asyncio.sleep(0.1)
        raise AssertionError(f"missing: {sorted(missing)}, expected: {sorted(names)}")

    async def until_nothing(self, expr: str) -> None:
        """Wait until every group has been evaluated, and the query finds nothing more."""
        for _ in range(int(PATIENCE_SECONDS / 0.1)):
            if not (found := await self.query(expr)):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"there still are {found}")


async def metrics(_: web.Request) -> web.Response:
    """An exporter that has listened for ever and heard nobody but itself."""
    lines = ['heartbeat_bus_loopback_timestamp_seconds{bus="system-redis"} 0']
    for name in "abcd":
        lines += [
            f'heartbeat_watch_start_timestamp_seconds{{svc="{name}",bus="system-redis"}} 1000',
            f'heartbeat_last_seen_timestamp_seconds{{svc="{name}",bus="system-redis"}} 0',
        ]
    return web.Response(text="\n".join(lines[1:]) + "\n")


@pytest_asyncio.fixture(params=[*FORMS, "shards"])
async def running(
    servers: Servers, ports: Ports, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    """A running Prometheus with the rules of services a, b and c."""
    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", ports.take())
    await site.start()
    port = ports.take()
    settings = Settings(
        exporters=(site.name.removeprefix("http://"),),
        prometheus=(f"127.0.0.1:{port}",),
        scrape_interval=0.5,
        evaluation_interval=0.5,
    )
    server = prometheus(servers.prometheus, tmp_path, port, tmp_path / "prometheus" / "prometheus.yml")
    async with aiohttp.ClientSession() as session:
        it = Running(tmp_path, settings, f"http://127.0.0.1:{port}", session, server, request.param)
        it.write(truth(*(service(name) for name in "abc"), monitor=Monitor(timeout=8.0, interval=1.0)))
        try:
            await server.start()
            await server.wait_ready()
            yield it
        finally:
            await server.kill()
            await runner.cleanup()


async def test_a_truth_edit_reaches_the_edited_service_alone(running: Running) -> None:
    before = await running.until_missing("a", "b", "c")
    # a leaves, b is retuned, c stays, d comes.
    edited = truth(service("b", interval=20.0, timeout=60.0), service("c"), service("d"))
    await running.reload(edited)
    after = await running.until_missing("b", "c", "d")
    assert after["b"] == before["b"]
    assert after["c"] == before["c"]
    await running.until_nothing('{__name__=~"svc:.+", svc="a"}')
    await running.until_nothing('svc:heartbeat_timeout_seconds:truth{svc="b"} != 60')
    assert await running.query('svc:heartbeat_timeout_seconds:truth{svc="b"}')


async def test_a_truth_edited_before_a_restart_of_prometheus_is_that_of_an_edit_while_it_runs(
    running: Running,
) -> None:
    await running.until_missing("a", "b", "c")
    # What the older rules recorded looks present for five minutes: nobody marked it stale.
    edited = truth(service("b", severity="warning", team="blue"), service("c", timeout=60.0), service("d"))
    await running.restart(edited)
    await running.until_missing("b", "c", "d")
    await asyncio.sleep(3)  # Several evaluations, each of which could go wrong.
    assert await running.unhealthy() == []
    labels = [each["labels"] for each in await running.alerts("HeartbeatMiss")]
    assert sorted((each["svc"], each["severity"]) for each in labels) == [
        ("b", "warning"),
        ("c", "critical"),
        ("d", "critical"),
    ]


async def test_what_does_not_touch_the_rules_keeps_all_states(running: Running) -> None:
    before = await running.until_missing("a", "b", "c")
    of = truth(*(service(name) for name in "abc"), monitor=Monitor(timeout=8.0, interval=1.0))
    await running.reload(replace(of, sha256="cd" * 32))
    await asyncio.sleep(2)
    assert await running.firing("HeartbeatMiss") == before


async def test_a_prometheus_that_has_just_started_misses_healer_in_no_evaluation(running: Running) -> None:
    await running.until_missing("a", "b", "c")
    assert await running.query('max_over_time(ALERTS{alertname="HealerMiss"}[1m])') == []
