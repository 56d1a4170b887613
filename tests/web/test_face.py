"""The routes that every daemon shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from healer.web.face import Face, application, process_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Daemon:
    """A daemon whose state is set by the test."""

    unready: str | None = None
    error: str | None = None
    reloads = 0

    async def reload(self) -> str | None:
        self.reloads += 1
        return self.error


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest_asyncio.fixture
async def client(daemon: Daemon) -> AsyncIterator[TestClient]:
    face = Face(
        title="A <daemon>",
        about="Says & does things.",
        registry=process_registry(),
        ready=lambda: daemon.unready,
        reload=daemon.reload,
        links={"/status": "who is <there>"},
    )
    async with TestClient(TestServer(application(face))) as client:
        yield client


async def test_metrics_are_served_in_the_format_asked_for(client: TestClient) -> None:
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "process_resident_memory_bytes" in await answer.text()
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with client.get("/metrics", headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", "text/plain;version=1.x", "="]
)
async def test_metrics_are_plain_text_for_whoever_asks_for_nonsense(client: TestClient, accept: str) -> None:
    async with client.get("/metrics", headers={"Accept": accept}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


async def test_metrics_are_compressed_when_asked_for(client: TestClient) -> None:
    gzip = {"Accept-Encoding": "gzip"}
    async with (
        ClientSession(auto_decompress=False) as session,
        session.get(client.make_url("/metrics"), headers=gzip) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip"
        assert (await answer.read())[:2] == b"\x1f\x8b"


async def test_ready_says_why_not(client: TestClient, daemon: Daemon) -> None:
    async with client.get("/-/ready") as answer:
        assert answer.status == 200
    daemon.unready = "no truth yet"
    async with client.get("/-/ready") as answer:
        assert (answer.status, await answer.text()) == (503, "A <daemon> is not ready: no truth yet\n")
    async with client.get("/-/healthy") as answer:
        assert answer.status == 200


async def test_reload_takes_a_post_and_says_what_went_wrong(client: TestClient, daemon: Daemon) -> None:
    async with client.get("/-/reload") as answer:
        assert answer.status == 405
    async with client.post("/-/reload") as answer:
        assert answer.status == 200
    daemon.error = "truth.json:3: interval_sec: ..."
    async with client.post("/-/reload") as answer:
        assert answer.status == 500
        assert "truth.json:3" in await answer.text()
    assert daemon.reloads == 2


async def test_the_landing_page_links_everything_and_carries_no_markup_of_ours_as_data(
    client: TestClient,
) -> None:
    async with client.get("/") as answer:
        page = await answer.text()
    assert "A &lt;daemon&gt;" in page
    assert "who is &lt;there&gt;" in page
    for path in ("/metrics", "/-/healthy", "/-/ready", "/status"):
        assert f'href="{path}"' in page


async def test_every_answer_forbids_foreign_code(client: TestClient) -> None:
    for path in ("/", "/metrics", "/nothing"):
        async with client.get(path) as answer:
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "healer"


async def test_a_page_of_another_site_reloads_nothing(client: TestClient, daemon: Daemon) -> None:
    for origin in ("http://evil.example", "null"):
        async with client.post("/-/reload", headers={"Origin": origin}) as answer:
            assert answer.status == 403
    assert daemon.reloads == 0
    own = str(client.make_url("/")).rstrip("/")
    async with client.post("/-/reload", headers={"Origin": own}) as answer:
        assert answer.status == 200
