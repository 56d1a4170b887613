"""Where a daemon listens."""

from __future__ import annotations

import asyncio
import resource

import pytest
from aiohttp import ClientSession, web

from healer.web.listen import Address, ListenError, parse_address, serving


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9877", Address("127.0.0.1", 9877)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9877", Address("::1", 9877)),
        (":9877", Address("", 9877)),
    ],
)
def test_addresses_are_read_as_prometheus_reads_them(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "9877", "127.0.0.1", "host:", "host:http", "host:65536", "::1:9877", "host:-1"]
)
def test_what_is_no_address_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected host:port|in brackets"):
        parse_address(text)


async def test_a_taken_port_says_which_and_what_to_do(free_port: int) -> None:
    address = Address("127.0.0.1", free_port)
    async with serving(web.Application(), address):
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{free_port}: .*--listen"):
            async with serving(web.Application(), address):
                pass


async def test_a_port_of_zero_is_chosen_and_told() -> None:
    async with (
        serving(web.Application(), Address("127.0.0.1", 0)) as url,
        ClientSession() as session,
        session.get(url) as answer,
    ):
        assert answer.status == 404


async def test_connections_are_turned_away_before_they_take_every_file_that_redis_needs(monkeypatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 20))
    async with serving(web.Application(), Address("127.0.0.1", 0)) as url:
        port = int(url.rpartition(":")[2])
        idle = []
        for _ in range(10):
            idle.append(await asyncio.open_connection("127.0.0.1", port))
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        idle.pop()[1].close()
        await asyncio.sleep(0.1)
        async with ClientSession() as session, session.get(url) as answer:
            assert answer.status == 404
        for _, each in idle:
            each.close()
