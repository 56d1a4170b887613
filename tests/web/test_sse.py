"""Events for browsers: their form, going on after a break, and clients that do not keep up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from healer.web.sse import Stream, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientResponse


async def greeting() -> AsyncIterator[bytes]:
    yield encode("hello", "snapshot")


@contextlib.asynccontextmanager
async def serving(stream: Stream) -> AsyncIterator[TestServer]:
    app = web.Application()

    async def events(request: web.Request) -> web.StreamResponse:
        return await stream.serve(request, greeting())

    async def close(_: web.Application) -> None:
        stream.close()

    app.router.add_get("/events", events, allow_head=False)
    app.on_shutdown.append(close)
    async with TestServer(app) as server:
        yield server


@pytest_asyncio.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def frames(answer: ClientResponse, count: int) -> list[str]:
    """Return the next `count` events, without ids."""
    got: list[str] = []
    async with asyncio.timeout(5):
        while len(got) < count:
            frame = (await answer.content.readuntil(b"\n\n")).decode()
            if not frame.startswith(("retry", ":")):
                got.append("".join(line + "\n" for line in frame.splitlines() if line[:3] != "id:").strip())
    return got


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("did not happen within a minute")


@pytest.mark.parametrize(
    ("data", "event", "id", "sent"),
    [
        ("one", None, None, b"data: one\n\n"),
        ("one\ntwo", "delta", "a-1", b"event: delta\nid: a-1\ndata: one\ndata: two\n\n"),
        ("\r\ndata: forged\r", None, None, b"data: \ndata: data: forged\ndata: \n\n"),
        ("", None, None, b"data: \n\n"),
    ],
)
def test_events_are_written_as_the_standard_says(data, event, id, sent) -> None:  # noqa: A002
    assert encode(data, event, id) == sent


def test_a_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        encode("data", "delta\ndata: forged")


async def test_a_client_is_greeted_and_then_told_what_happens(session) -> None:
    stream = Stream()
    async with serving(stream) as server, session.get(server.make_url("/events")) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert await answer.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
        await until(lambda: stream.clients == 1)
        stream.publish("beat", "delta")
        assert await frames(answer, 2) == ["event: snapshot\ndata: hello", "event: delta\ndata: beat"]


async def test_who_reconnects_gets_what_it_missed_and_no_greeting(session) -> None:
    stream = Stream()
    stream.publish("one")
    seen = stream.last_id
    stream.publish("two")
    stream.publish("three")
    async with (
        serving(stream) as server,
        session.get(server.make_url("/events"), headers={"Last-Event-ID": seen}) as answer,
    ):
        assert await frames(answer, 2) == ["data: two", "data: three"]


@pytest.mark.parametrize("last", ["", "0", "another-process-7"])
async def test_who_cannot_go_on_is_greeted(session, last) -> None:
    stream = Stream(remembered=1)
    stream.publish("one")
    stream.publish("two")
    async with (
        serving(stream) as server,
        session.get(server.make_url("/events"), headers={"Last-Event-ID": last}) as answer,
    ):
        assert await frames(answer, 1) == ["event: snapshot\ndata: hello"]


async def test_what_was_forgotten_is_not_gone_on_from(session) -> None:
    stream = Stream()
    stream.publish("one")
    seen = stream.last_id
    stream.publish("two")
    stream.forget()
    async with (
        serving(stream) as server,
        session.get(server.make_url("/events"), headers={"Last-Event-ID": seen}) as answer,
    ):
        assert await frames(answer, 1) == ["event: snapshot\ndata: hello"]


async def test_a_client_that_does_not_read_is_cut_off_and_harms_nobody(session) -> None:
    stream = Stream(backlog=4)
    async with serving(stream) as server, session.get(server.make_url("/events")) as answer:
        await frames(answer, 1)
        with socket.create_connection((server.host, server.port)) as sock:
            sock.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: stream.clients == 2)
            rounds = 0
            while stream.clients == 2:
                rounds += 1
                stream.publish("x" * 500_000)
                await frames(answer, 1)
            assert rounds < 100
        stream.publish("still here")
        assert await frames(answer, 1) == ["data: still here"]


async def test_a_silence_is_filled_with_comments(session) -> None:
    stream = Stream(comment_seconds=0.01)
    async with serving(stream) as server, session.get(server.make_url("/events")) as answer:
        await frames(answer, 1)
        async with asyncio.timeout(5):
            assert await answer.content.readuntil(b"\n\n") == b":\n\n"


async def test_a_client_that_went_is_forgotten(session) -> None:
    stream = Stream(comment_seconds=0.01)
    async with serving(stream) as server:
        async with session.get(server.make_url("/events")) as answer:
            await frames(answer, 1)
        await until(lambda: stream.clients == 0)


async def test_too_many_clients_are_asked_to_come_back(session) -> None:
    stream = Stream(max_clients=1)
    async with serving(stream) as server, session.get(server.make_url("/events")) as first:
        await frames(first, 1)
        async with session.get(server.make_url("/events")) as second:
            assert (second.status, second.headers["Retry-After"]) == (503, "30")


async def test_stopping_ends_the_streams_at_once(session) -> None:
    stream = Stream()
    async with serving(stream) as server:
        answer = await session.get(server.make_url("/events"))
        await frames(answer, 1)
        stream.close()
        async with asyncio.timeout(1):
            assert await answer.content.read() == b""


async def test_a_head_request_is_not_answered_with_a_stream(session) -> None:
    async with serving(Stream()) as server, session.head(server.make_url("/events")) as answer:
        assert answer.status == 405
