"""Real servers, started as a native run starts them."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.process import Process, ProcessError
from healer.stack.servers import Servers


async def get(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json()


async def status(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def ping(url: str) -> bool:
    async with redis.asyncio.Redis.from_url(url, socket_timeout=0.5) as client:
        return bool(await client.ping())


async def test_redis_answers_and_keeps_its_address_over_a_kill(redis_server) -> None:
    server = await redis_server()
    url = server.url
    assert await ping(url)

    await server.kill()
    with pytest.raises(redis.exceptions.ConnectionError):
        await ping(url)

    await server.restart()
    assert await ping(url)


async def test_a_paused_redis_accepts_connections_and_answers_nothing(redis_server) -> None:
    server = await redis_server()
    await server.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        await ping(server.url)
    await server.resume()
    assert await ping(server.url)


@pytest.mark.parametrize(("keep", "value"), [(True, b"1"), (False, None)])
async def test_redis_keeps_what_was_written_only_when_asked_to(
    redis_server, keep: bool, value: bytes | None
) -> None:
    server = await redis_server(keep=keep)
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.set("key", 1)
    await server.kill()
    await server.restart()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        assert await client.get("key") == value


async def test_prometheus_and_alertmanager_start_from_where_they_were_found(
    servers: Servers, ports: Ports, tmp_path: Path
) -> None:
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    prometheus = stack.prometheus(
        servers.prometheus, tmp_path, ports.take(), tmp_path / "prometheus.yml", resend_delay=1.5
    )
    alertmanager = stack.alertmanager(
        servers.alertmanager, tmp_path, ports.take(), tmp_path / "alertmanager.yml"
    )
    async with running(prometheus, alertmanager):
        assert (
            await status(prometheus.url) == await status(alertmanager.url) == 200
        )  # their pages are there too
        flags = (await get(f"{prometheus.url}/api/v1/status/flags"))["data"]
        assert flags["rules.alert.resend-delay"] == "1s500ms"
        info = await get(f"{alertmanager.url}/api/v2/status")
        assert info["versionInfo"]["version"].startswith(servers.alertmanager.version)


async def test_a_server_on_a_port_in_use_says_so(servers: Servers, redis_server, tmp_path: Path) -> None:
    taken = (await redis_server()).port
    server = stack.redis(servers.redis_server, tmp_path, taken, "second")
    await server.start()
    # The first server answers the second's readiness question, so look at the process itself.
    await server.wait()
    with pytest.raises(ProcessError, match=r"(?s)second ended with exit status 1 .*Address already in use"):
        await server.wait_ready()


class running:  # noqa: N801  reads as a statement
    """Runs processes for the length of a block."""

    def __init__(self, *processes: Process) -> None:
        self.processes = processes

    async def __aenter__(self) -> None:
        for process in self.processes:
            await process.start()
        for process in self.processes:
            await process.wait_ready()

    async def __aexit__(self, *_: object) -> None:
        for process in self.processes:
            await process.kill()
