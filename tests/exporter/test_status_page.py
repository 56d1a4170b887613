"""The status page as a browser without scripts, a program and an attacker see it."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from html.parser import HTMLParser

import pytest
from aiohttp import ClientSession
from tests.exporter.conftest import publish, seed, truth
from tests.patience import PATIENCE, stopwatch

from healer.exporter.status import Row, State
from healer.exporter.status_page import POLICY, filled, limit, span


class Page(HTMLParser):
    """Collects what a page has: tags, attributes, and text by data-svc."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def hearing(metrics: dict[str, float]) -> bool:
    return metrics.get('heartbeat_bus_up{bus="test"}') == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (2.14, "2.1 s"),
        (60, "1 m 00 s"),
        (64.9, "1 m 04 s"),
        (3600 * 3 + 60 * 12, "3 h 12 m"),
        (86400 * 2 + 3600 * 4, "2 d 4 h"),
    ],
)
def test_ages_read_as_people_say_them(seconds, text) -> None:
    assert span(seconds) == text


def test_a_timeout_reads_as_it_was_set() -> None:
    assert [limit(30.0), limit(7.5), limit(90.0)] == ["30 s", "7.5 s", "1 m 30 s"]


@pytest.mark.parametrize(
    ("state", "age", "percent"),
    [
        (State.BEATING, 7.5, 25.0),
        (State.PAST, 300.0, 100.0),
        (State.NEVER, None, 100.0),
        (State.WAITING, None, 0.0),
    ],
)
def test_a_bar_is_the_age_against_the_timeout(state, age, percent) -> None:
    assert filled(Row("mesh", "bus", state, None, None, 10.0, 30.0), age) == percent


async def test_the_page_is_complete_without_scripts_and_has_none_inline(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", "massive", url=server.url, timeout=60.0))
    process = await exporter(server.url)
    await process.until(hearing)
    await publish(server.url, "mesh:heartbeat")
    await process.until(lambda m: m['heartbeat_beats_total{bus="test",svc="mesh"}'] == 1)
    url = f"http://127.0.0.1:{process.port}"
    async with ClientSession() as session:
        async with session.get(f"{url}/status") as answer:
            text = await answer.text()
            assert answer.headers["Content-Security-Policy"] == POLICY
            assert answer.headers["Cache-Control"] == "no-store"
        page = Page(text)
        assert ("meta", {"http-equiv": "refresh", "content": "10"}) in page.tags
        rows = {attrs["data-svc"]: attrs["class"] for _, attrs in page.tags if "data-svc" in attrs}
        assert rows["massive"] == "waiting"
        assert rows["mesh"] in {"beating", "overdue"}
        assert re.search(r"\d\.\d s ago", text)
        assert not any(name == "style" or name.startswith("on") for _, attrs in page.tags for name in attrs)
        assert "style" not in {tag for tag, _ in page.tags}
        assert all("src" in attrs for tag, attrs in page.tags if tag == "script")
        files = [attrs.get("src") or attrs["href"] for tag, attrs in page.tags if tag in {"script", "link"}]
        assert len(files) == 4
        for file in files:
            async with session.get(f"{url}/{file}") as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"


async def test_names_are_text_whatever_they_look_like(redis_server, exporter) -> None:
    server = await redis_server()
    evil = '"><img src=x onerror=alert(1)>'
    await seed(server.url, truth(evil, "{{ 7 + 7 }}", url=server.url))
    process = await exporter(server.url)
    await process.until(hearing)
    _, text = await process.get("/status")
    page = Page(text)
    assert "img" not in {tag for tag, _ in page.tags}
    assert {attrs["data-svc"] for _, attrs in page.tags if "data-svc" in attrs} == {evil, "{{ 7 + 7 }}"}


async def test_the_same_is_had_as_json(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await process.until(hearing)
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{process.port}/status.json") as answer,
    ):
        read = await answer.json()
    assert abs(read["at"] - time.time()) < 10
    (row,) = read["rows"]
    assert (row["svc"], row["bus"], row["last"], row["timeout"]) == ("mesh", "test", None, 1.5)
    assert read["counts"][row["state"]] == 1
    assert [bus["hearing"] for bus in read["buses"]] == [True]


async def test_before_any_truth_the_page_answers_too(exporter, free_port) -> None:
    process = await exporter(f"redis://127.0.0.1:{free_port}")
    await process.until(lambda m: "heartbeat_truth_last_reload_successful" in m)
    status, text = await process.get("/status")
    assert status == 200
    assert "no bus yet" in text
    assert "No service to show." in text


async def test_sigterm_ends_it_within_two_seconds_while_somebody_watches(redis_server, exporter) -> None:
    server = await redis_server()
    await seed(server.url, truth("mesh", url=server.url))
    process = await exporter(server.url)
    await process.until(hearing)
    async with (
        ClientSession() as session,
        session.get(f"http://127.0.0.1:{process.port}/status/events") as answer,
    ):
        await answer.content.readuntil(b"complete")
        with stopwatch(process.process.pid) as watch:
            process.process.send_signal(signal.SIGTERM)
            assert await process.process.wait() == 0
        assert watch.seconds < 2.0
        async with asyncio.timeout(PATIENCE):
            await answer.content.read()
    assert not process.logged("Traceback|level=error")
