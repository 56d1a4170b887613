"""`healer bundle --watch` as a process: signals, POST, the lock, and how long an edit takes."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import aiohttp
import pytest_asyncio
from tests.bundle.test_sync import document
from tests.patience import PATIENCE, stopwatch

from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

SLOW_PROMTOOL = "#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n"


class Watching:
    """Watchers of one file and one folder, and a running pipeline that reads the folder."""

    def __init__(self, servers: Servers, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.truth = folder / "truth.json"
        self.truth.write_bytes(document("first"))
        self.bundle = folder / "bundle"
        self.path = f"{servers.promtool.path.parent}:{servers.amtool.path.parent}:{os.environ['PATH']}"
        self._ports = ports
        config = self.bundle / "prometheus" / "prometheus.yml"
        self.prometheus = stack.prometheus(servers.prometheus, folder, ports.take(), config)
        config = self.bundle / "alertmanager" / "alertmanager.yml"
        self.alertmanager = stack.alertmanager(servers.alertmanager, folder, ports.take(), config)
        self.started: list[stack.Server] = []

    async def start(self, server: stack.Server) -> stack.Server:
        self.started.append(server)
        await server.start()
        await server.wait_ready()
        return server

    def watcher(self, name: str, path: str | None = None, *more: str) -> stack.Server:
        options = [
            "--watch",
            f"--truth={self.truth}",
            f"--output={self.bundle}",
            f"--prometheus-url={self.prometheus.url}",
            f"--alertmanager-url={self.alertmanager.url}",
            *more,
        ]
        environment = {"PATH": path or self.path}
        return stack.healer(
            "bundle", self.folder, self._ports.take(), environment, name=name, options=options
        )


@pytest_asyncio.fixture
async def watching(servers: Servers, ports: Ports, tmp_path: Path) -> AsyncIterator[Watching]:
    """Everything ready to be started; stopped at the end."""
    it = Watching(servers, tmp_path, ports)
    try:
        yield it
    finally:
        for server in it.started:
            await server.kill()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await true():  # noqa: ASYNC110  it is the state of other processes
            await asyncio.sleep(0.05)


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_it_survives_that_nobody_is_there_yet_and_takes_up_every_edit(watching: Watching) -> None:
    watcher = await watching.start(watching.watcher("watcher"))

    async def waits() -> bool:
        status, text = await get(f"{watcher.url}/-/ready")
        return status == 503 and "Prometheus at" in text and "cannot be reached" in text

    await until(waits)
    await watching.start(watching.prometheus)
    await watching.start(watching.alertmanager)

    async def ready() -> bool:
        return (await get(f"{watcher.url}/-/ready"))[0] == 200

    await until(ready)

    watching.truth.write_bytes(document("edited"))

    async def edited() -> bool:
        _, rules = await get(f"{watching.prometheus.url}/api/v1/rules")
        return "edited" in rules

    await until(edited)

    watching.truth.write_bytes(b"{")
    async with aiohttp.ClientSession() as session, session.post(f"{watcher.url}/-/reload") as answer:
        assert answer.status == 500
        assert f"{watching.truth}" in await answer.text()
    assert await edited()
    assert (await get(f"{watcher.url}/-/ready"))[0] == 503
    watching.truth.write_bytes(document("edited"))
    watcher.send_signal(signal.SIGHUP)
    await until(ready)


async def test_a_second_one_on_the_same_folder_says_so_and_ends(watching: Watching) -> None:
    first = await watching.start(watching.watcher("first"))
    second = watching.watcher("second")
    watching.started.append(second)
    await second.start()
    assert await second.wait() == 1
    assert f"is kept by another `healer bundle --watch`, pid {first.pid}" in second.tail()
    assert "Traceback" not in second.tail()


async def test_sigterm_in_the_middle_of_a_check_ends_it_and_the_check_within_two_seconds(
    watching: Watching, tmp_path: Path
) -> None:
    tools, pid = tmp_path / "tools", tmp_path / "promtool.pid"
    tools.mkdir()
    (tools / "promtool").write_text(SLOW_PROMTOOL.format(pid=pid))
    (tools / "promtool").chmod(0o755)
    watcher = await watching.start(watching.watcher("watcher", f"{tools}:{os.environ['PATH']}"))

    async def checking() -> bool:
        return pid.exists() and pid.read_text().endswith("\n")

    await until(checking)
    with stopwatch(watcher.pid) as watch:
        watcher.send_signal(signal.SIGTERM)
        assert await watcher.wait() == 0
    assert watch.seconds < 2.0

    async def gone() -> bool:
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            return True
        return False

    await until(gone)


async def test_a_missing_tool_is_said_once(watching: Watching) -> None:
    watcher = await watching.start(watching.watcher("watcher", "/nonexistent"))

    async def waits() -> bool:
        return (await get(f"{watcher.url}/metrics"))[1].count('bundle_syncs_total{result="unreached"}') == 1

    await until(waits)
    for tool in ("promtool", "amtool"):
        assert watcher.tail(100).count(f"tool={tool}") == 1


async def test_a_web_configuration_that_cannot_be_used_ends_it_with_its_fault(watching: Watching) -> None:
    watcher = watching.watcher("watcher", None, "--web.config.file=/no/such/file")
    await watcher.start()
    assert await watcher.wait() == 1
    assert "/no/such/file" in watcher.tail()
    assert "Traceback" not in watcher.tail()
