"""One document taken all the way on a real Prometheus and a real Alertmanager; or everything left as it was."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from tests.patience import stopwatch

from healer.bundle import Settings
from healer.bundle.reload import Server
from healer.bundle.swap import Swap
from healer.bundle.sync import Result, Sync, SyncError, Tools
from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

BROKEN = "groups: no list\n"


def document(*names: str, **timeouts: float) -> bytes:
    services: dict[str, Any] = {
        name: {"heartbeat": {"channel": f"{name}:heartbeat", "timeout_sec": timeouts.get(name, 30)}}
        for name in names
    }
    watches = [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in names]
    services["healer"] = {"access_points": {"subscribe_to": watches}}
    return json.dumps({"services": services}).encode()


class Pipeline:
    """A Prometheus and an Alertmanager that read a folder which a sync keeps."""

    def __init__(self, servers: Servers, folder: Path, ports: Ports, session: aiohttp.ClientSession) -> None:
        self.folder = folder / "bundle"
        self.session = session
        self.tools = Tools(servers.promtool.path, servers.amtool.path)
        config = self.folder / "prometheus" / "prometheus.yml"
        self.prometheus = stack.prometheus(servers.prometheus, folder, ports.take(), config)
        config = self.folder / "alertmanager" / "alertmanager.yml"
        self.alertmanager = stack.alertmanager(servers.alertmanager, folder, ports.take(), config)
        self.exporter = f"127.0.0.1:{ports.take()}"
        self.swap = Swap(self.folder)
        self.waited: list[float] = []
        self.sync = self.syncing()

    def syncing(self, *, url: str = "", tools: Tools | None = None, sentinels: tuple[str, ...] = ()) -> Sync:
        """A sync of the folder; by default with these servers, and daemons that cannot be told."""
        settings = Settings(
            exporters=(self.exporter,),
            sentinels=sentinels or (self.exporter,),
            alertmanagers=(self.alertmanager.address,),
            prometheus=(self.prometheus.address,),
        )
        both = (Server.prometheus(url or self.prometheus.url), Server.alertmanager(self.alertmanager.url))
        return Sync(
            self.swap,
            settings,
            both,
            self.session,
            env={},
            tools=tools or self.tools,
            sleep=self._sleep,
        )

    async def start(self) -> None:
        """Start both servers on what is on disk."""
        for server in (self.prometheus, self.alertmanager):
            await server.start()
        for server in (self.prometheus, self.alertmanager):
            await server.wait_ready()

    async def fails(self, raw: bytes, result: Result) -> str:
        """Sync what has to fail with `result`; return what it says."""
        with pytest.raises(SyncError) as caught:
            await self.sync.run(raw, "truth")
        assert caught.value.result is result, str(caught.value)
        return str(caught.value)

    async def runs(self, name: str) -> bool:
        """Whether the rules that Prometheus runs name a service."""
        async with self.session.get(f"{self.prometheus.url}/api/v1/rules") as answer:
            return f'"{name}' in (await answer.text()).replace("\\", "").replace("|", '"')

    async def reloaded_at(self, server: stack.Server) -> float:
        """When a server last took its files up."""
        async with self.session.get(f"{server.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        (line,) = [
            line
            for line in lines
            if "_config_last_reload_success_timestamp_seconds " in line and "#" not in line
        ]
        return float(line.rpartition(" ")[2])

    def files(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in self.folder.rglob("*.yml") if ".watch" not in path.parts
        }

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest_asyncio.fixture
async def pipeline(servers: Servers, ports: Ports, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """A running pipeline in step with a truth of service `first`."""
    async with aiohttp.ClientSession() as session:
        it = Pipeline(servers, tmp_path, ports, session)
        with it.swap:
            try:
                await it.fails(document("first"), Result.UNREACHED)
                await it.start()
                await it.sync.run(document("first"), "truth")
                yield it
            finally:
                await it.prometheus.kill()
                await it.alertmanager.kill()


async def test_each_of_two_truths_comes_in_force(pipeline: Pipeline) -> None:
    for name in ("second", "third"):
        await pipeline.sync.run(document(name), "truth")
        assert await pipeline.runs(name)
    assert not await pipeline.runs("first")
    assert sorted(path.name for path in (pipeline.folder / ".watch").iterdir()) == ["lock"]


async def test_alertmanager_is_left_alone_by_what_does_not_concern_it(pipeline: Pipeline) -> None:
    before = await pipeline.reloaded_at(pipeline.alertmanager)
    await pipeline.sync.run(document("first", "second"), "truth")
    assert await pipeline.reloaded_at(pipeline.alertmanager) == before


async def test_a_truth_that_is_in_force_reloads_nobody_but_at_the_start(pipeline: Pipeline) -> None:
    before = await pipeline.reloaded_at(pipeline.prometheus)
    await pipeline.sync.run(document("first"), "truth")
    assert await pipeline.reloaded_at(pipeline.prometheus) == before
    await pipeline.syncing().run(document("first"), "truth")
    assert await pipeline.reloaded_at(pipeline.prometheus) > before


async def test_a_truth_that_does_not_load_changes_nothing(pipeline: Pipeline) -> None:
    before = pipeline.files()
    assert "timeout_sec" in await pipeline.fails(document("first", first=-1), Result.TRUTH)
    assert pipeline.files() == before
    assert await pipeline.runs("first")


async def test_what_promtool_refuses_changes_nothing_and_is_kept_to_look_at(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    before = pipeline.files()
    promtool = tmp_path / "promtool"
    promtool.write_text("#!/bin/sh\necho line 3: surprising >&2; exit 1\n")
    promtool.chmod(0o755)
    pipeline.sync = pipeline.syncing(tools=Tools(promtool))
    assert "exit 1\nline 3: surprising" in await pipeline.fails(document("second"), Result.CHECK)
    assert pipeline.files() == before
    assert "second" in (pipeline.folder / ".watch/new/rules/heartbeat.rules.yml").read_text()


async def test_what_prometheus_refuses_is_taken_back_until_it_takes_it(pipeline: Pipeline) -> None:
    before = pipeline.files()
    mine = pipeline.folder / "rules" / "mine.yml"
    mine.write_text(BROKEN)
    said = await pipeline.fails(document("second"), Result.REFUSED)
    assert "refuses the files" in said
    assert "the old files are back" in said
    mine.unlink()
    assert pipeline.files() == before
    assert await pipeline.runs("first")
    await pipeline.sync.run(document("second"), "truth")
    assert await pipeline.runs("second")


async def test_a_prometheus_that_is_down_finds_the_new_files_when_it_returns(pipeline: Pipeline) -> None:
    await pipeline.prometheus.kill()
    assert "cannot be reached (Connection refused)" in await pipeline.fails(
        document("second"), Result.UNREACHED
    )
    await pipeline.prometheus.restart()
    assert await pipeline.runs("second")
    await pipeline.sync.run(document("second"), "truth")


async def test_a_prometheus_that_reads_another_folder_is_found_out(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    pipeline.folder.rename(tmp_path / "moved")
    pipeline.folder = tmp_path / "other"
    with Swap(pipeline.folder) as pipeline.swap:
        (tmp_path / "bundle").symlink_to(tmp_path / "moved")
        pipeline.sync = pipeline.syncing()
        assert "does not run these rules" in await pipeline.fails(document("second"), Result.UNREACHED)


async def test_a_server_that_does_not_reload_on_request_is_told_how_to(
    pipeline: Pipeline, ports: Ports
) -> None:
    app = web.Application()
    app.router.add_post("/-/reload", forbidden)
    async with served(app, ports.take()) as address:
        pipeline.sync = pipeline.syncing(url=f"http://{address}")
        assert "Start it with --web.enable-lifecycle" in await pipeline.fails(
            document("second"), Result.UNREACHED
        )


async def test_exporters_and_sentinels_know_before_the_rules_do(pipeline: Pipeline, ports: Ports) -> None:
    seen = []

    async def told(_: web.Request) -> web.Response:
        seen.append("zebra" in (pipeline.folder / "rules/heartbeat.rules.yml").read_text())
        return web.Response()

    app = web.Application()
    app.router.add_post("/-/reload", told)
    async with served(app, int(pipeline.exporter.rpartition(":")[2])):
        pipeline.waited.clear()
        await pipeline.sync.run(document("zebra"), "truth")
    assert seen == [False, False]
    assert pipeline.waited == []


async def test_who_cannot_be_told_gets_the_time_to_look(pipeline: Pipeline) -> None:
    pipeline.waited.clear()
    await pipeline.sync.run(document("second"), "truth")
    assert pipeline.waited == [5.0]


async def test_a_hundred_services_are_in_force_within_seconds(pipeline: Pipeline) -> None:
    with stopwatch(os.getpid()) as watch:
        await pipeline.sync.run(document(*(f"service_{i}" for i in range(100))), "truth")
    assert watch.seconds < 15
    assert await pipeline.runs("service_99")


async def forbidden(_: web.Request) -> web.Response:
    return web.Response(status=403, text="Lifecycle API is not enabled.")


class served:  # noqa: N801  # reads as a function
    """Serves an application on a port while the context is open; yields its `host:port`."""

    def __init__(self, app: web.Application, port: int) -> None:
        self._runner = web.AppRunner(app)
        self._port = port

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return f"127.0.0.1:{self._port}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
