"""Daemons behind a web configuration, as processes: scraped by a real Prometheus, or refusing to start."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
import yaml
from tests.exporter.conftest import seed, truth
from tests.web.conftest import MUTUAL, PASSWORDS, TLS, visit

from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.web.conftest import Site

LAST_SEEN = "heartbeat_last_seen_timestamp_seconds"


def command(daemon: str, port: int, config: Path) -> list[str]:
    listen = f"127.0.0.1:{port}"
    return [sys.executable, "-m", "healer", daemon, "--listen", listen, "--web.config.file", str(config)]


@asynccontextmanager
async def running(argv: list[str], url: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *argv, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "TRUTH_REDIS_URL": url}
    )
    try:
        yield
    finally:
        process.terminate()
        assert await process.wait() == 0


def scrape(site: Site, job: str, port: int, certificate: str, password: str) -> dict[str, Any]:
    return {
        "job_name": job,
        "scheme": "https",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        "tls_config": {
            "ca_file": str(site.folder / "ca.crt"),
            "cert_file": str(site.folder / f"{certificate}.crt"),
            "key_file": str(site.folder / f"{certificate}.key"),
        },
        "basic_auth": {"username": "prometheus", "password": password},
    }


async def ask(server: stack.Server, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v1/{path}") as answer:
        return (await answer.json())["data"]


async def test_a_real_prometheus_scrapes_over_mutual_tls_with_a_password_and_nobody_else_does(
    site, users, servers, redis_server, ports, tmp_path
) -> None:
    site.certify("stranger", "prometheus.example", authority=trustme.CA())
    config = site.write({"tls_server_config": MUTUAL, "basic_auth_users": users})
    bus, port = await redis_server(), ports.take()
    await seed(bus.url, truth("mesh", url=bus.url))
    jobs = [
        scrape(site, "heartbeat", port, "client", PASSWORDS["prometheus"]),
        scrape(site, "guessing", port, "client", "guess"),
        scrape(site, "stranger", port, "stranger", PASSWORDS["prometheus"]),
    ]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": jobs}))
    prometheus = stack.prometheus(servers.prometheus, tmp_path, ports.take(), tmp_path / "prometheus.yml")
    async with running(command("exporter", port, config), bus.url):
        await prometheus.start()
        try:
            await prometheus.wait_ready()
            await _until_scraped(prometheus)
            targets = {
                target["scrapePool"]: target for target in (await ask(prometheus, "targets"))["activeTargets"]
            }
            assert "HTTP status 401" in targets["guessing"]["lastError"]
            # How a refused handshake shows depends on who closes first.
            assert targets["stranger"]["health"] == "down"
            assert "HTTP status" not in targets["stranger"]["lastError"]
            found = await ask(prometheus, f"query?query={LAST_SEEN}")
            assert [series["metric"]["job"] for series in found["result"]] == ["heartbeat"]
        finally:
            await prometheus.kill()


async def _until_scraped(prometheus: stack.Server) -> None:
    for _ in range(400):
        found = await ask(prometheus, f"query?query={LAST_SEEN}")
        targets = (await ask(prometheus, "targets"))["activeTargets"]
        if found["result"] and all(target["health"] != "unknown" for target in targets):
            return
        await asyncio.sleep(0.1)
    pytest.fail(str(targets))


async def test_the_sentinel_is_served_in_the_same_way(site, users, redis_server, free_port) -> None:
    bus = await redis_server()
    await seed(bus.url, truth("mesh", url=bus.url))
    config = site.write({"tls_server_config": TLS, "basic_auth_users": users})
    async with running(command("sentinel", free_port, config), bus.url):
        for _ in range(200):
            try:
                status, _, _ = await visit(f"https://127.0.0.1:{free_port}/-/healthy", site.client())
                break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
        assert status == 401
        login = ("prometheus", PASSWORDS["prometheus"])
        assert (await visit(f"https://127.0.0.1:{free_port}/metrics", site.client(), login))[0] == 200


@pytest.mark.parametrize("daemon", ["exporter", "sentinel"])
async def test_a_configuration_that_cannot_be_used_is_said_in_lines_not_in_a_traceback(
    site, free_port, daemon
) -> None:
    config = site.write({"tls_server_config": {"cert_file": "gone.crt", "key_file": "server.key"}, "x": 1})
    process = await asyncio.create_subprocess_exec(
        *command(daemon, free_port, config), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    lines = said.decode().splitlines()
    assert process.returncode == 1
    assert len(lines) == 2, lines
    assert "gone.crt: no such file or directory" in lines[0]
    assert "x: found an unknown key" in lines[1]
