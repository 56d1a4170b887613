"""What the browsers that watch are told, and that nothing is done while none does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from healer.exporter.status import Head, Row, State, TruthRow, View
from healer.exporter.status_feed import CHUNK, Feed, difference, document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientResponse


def row(svc: str, last: float | None = 1.0, state: State = State.BEATING) -> Row:
    return Row(svc, "bus", state, last, 0.0, 10.0, 30.0)


def view(*rows: Row, at: float = 1.0) -> View:
    counts = dict.fromkeys(State, 0)
    return View(Head(at, len(rows), counts, [], TruthRow("ab", "7", 1.0, newest=True)), list(rows))


class Picture:
    """What the feed is to show next; counts how often it looked."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self.looks = 0

    async def take(self) -> View:
        self.looks += 1
        return view(*self.rows, at=float(self.looks))


@contextlib.asynccontextmanager
async def serving(feed: Feed) -> AsyncIterator[Callable[..., Any]]:
    app = web.Application()
    app.router.add_get("/events", feed.serve, allow_head=False)
    async with TestServer(app) as server, ClientSession() as session:

        def connect(**headers: str) -> Any:
            return session.get(server.make_url("/events"), headers=headers)

        yield connect
        await feed.close()


async def event(answer: ClientResponse) -> tuple[str, dict[str, Any], str | None]:
    """Return name, data and id of the next event."""
    async with asyncio.timeout(5):
        while True:
            lines = (await answer.content.readuntil(b"\n\n")).decode().strip().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if line != ":")
            if "data" in fields:
                return fields["event"], json.loads(fields["data"]), fields.get("id")


def names(data: dict[str, Any]) -> list[str]:
    return [row["svc"] for row in data["rows"]]


def test_only_what_changed_is_told() -> None:
    before = view(row("a"), row("b"), row("c"))
    after = view(row("a"), row("b", last=2.0), row("d"))
    delta = difference(before, after)
    assert [row.svc for row in delta.rows] == ["b", "d"]
    assert delta.gone == ["c"]


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1])
def test_the_document_is_one_json_object(count) -> None:
    pieces = b"".join(document(view(*(row(str(number)) for number in range(count)))))
    read = json.loads(pieces)
    assert len(read["rows"]) == count
    assert (read["at"], read["truth"]["sha256"]) == (1.0, "ab")


async def test_a_browser_gets_everything_first_and_then_the_changes() -> None:
    picture = Picture(*(row(f"{number:04}") for number in range(CHUNK + 1)))
    feed = Feed(picture.take, period=0.02)
    async with serving(feed) as connect, connect() as answer:
        told = [await event(answer) for _ in range(4)]
        assert [name for name, _, _ in told] == ["snapshot", "delta", "delta", "complete"]
        assert names(told[1][1]) + names(told[2][1]) == [f"{number:04}" for number in range(CHUNK + 1)]
        assert [last is not None for _, _, last in told] == [False, False, False, True]
        picture.rows = (row("0000", last=9.0), *picture.rows[1:])
        async with asyncio.timeout(5):
            while True:
                name, data, _ = await event(answer)
                assert name == "delta"
                if data["rows"]:
                    break
        assert names(data) == ["0000"]
        assert data["head"]["at"] > 1


async def test_nobody_looks_while_nobody_watches() -> None:
    picture = Picture(row("a"))
    feed = Feed(picture.take, period=0.01)
    async with serving(feed) as connect:
        await asyncio.sleep(0.05)
        assert picture.looks == 0
        async with connect() as answer:
            await event(answer)
        for _ in range(200):
            await asyncio.sleep(0.01)
            if feed.stream.clients == 0:
                break
        await asyncio.sleep(0.05)
        seen = picture.looks
        await asyncio.sleep(0.1)
        assert picture.looks == seen
        async with connect() as answer:
            assert (await event(answer))[0] == "snapshot"
            assert picture.looks > seen


async def test_many_browsers_cost_one_look_a_period() -> None:
    picture = Picture(row("a"))
    feed = Feed(picture.take, period=0.05)
    async with serving(feed) as connect, contextlib.AsyncExitStack() as stack:
        answers = [await stack.enter_async_context(connect()) for _ in range(10)]
        for answer in answers:
            assert (await event(answer))[0] == "snapshot"
        before = picture.looks
        await asyncio.sleep(0.5)
        assert picture.looks - before <= 11


async def test_a_browser_that_reconnects_at_once_gets_only_what_it_missed() -> None:
    picture = Picture(row("a"))
    feed = Feed(picture.take, period=0.02)
    async with serving(feed) as connect, connect() as one:
        for _ in range(6):
            _, _, last = await event(one)
        async with connect(**{"Last-Event-ID": last}) as two:
            assert (await event(two))[0] == "delta"


async def test_stopping_ends_the_events() -> None:
    feed = Feed(Picture(row("a")).take, period=10.0)
    async with serving(feed) as connect, connect() as answer:
        await event(answer)
        await event(answer)
        await event(answer)
        await feed.close()
        async with asyncio.timeout(1):
            assert await answer.content.read() == b""
