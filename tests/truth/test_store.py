from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
import redis.asyncio
import structlog
from tests.odd import NONSENSE, Odd

from healer.truth.store import Location, Store, StoreError, fetch, location, watch

KEY = "truth:doc"


@pytest.fixture
async def server(redis_server):
    return await redis_server()


@pytest.fixture
async def client(server):
    async with redis.asyncio.Redis.from_url(server.url) as client:
        yield client


LOCATIONS = [
    ({}, ("redis://system-redis:6379", "truth:doc")),
    ({"REDIS_URL": "redis://a"}, ("redis://a", "truth:doc")),
    ({"REDIS_URL": "redis://a", "TRUTH_REDIS_URL": "redis://b", "TRUTH_REDIS_KEY": "k"}, ("redis://b", "k")),
    ({"REDIS_URL": "redis://a", "TRUTH_REDIS_URL": "", "TRUTH_REDIS_KEY": ""}, ("redis://a", "truth:doc")),
]


@pytest.mark.parametrize(("env", "place"), LOCATIONS)
def test_the_environment_says_where_the_document_is(env, place):
    assert location(env) == place


def test_a_url_that_could_never_connect_is_refused_without_its_password():
    with pytest.raises(StoreError, match=r"env REDIS_URL: found .*, expected a URL such as") as caught:
        location({"REDIS_URL": "http://:hunter2@a"})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(location({"REDIS_URL": "redis://:hunter2@a"}))


async def test_a_document_comes_back_byte_for_byte(server, client):
    await client.set(KEY, b"{\xff\r\n}")
    assert await fetch(server.url, KEY) == b"{\xff\r\n}"


async def test_a_missing_document_says_how_to_seed_it(server):
    with pytest.raises(
        StoreError, match=r"truth not found: no key truth:doc .* Run `healer truth seed FILE`"
    ):
        await fetch(server.url, KEY)


async def test_a_key_of_another_type_is_said(server, client):
    await client.lpush(KEY, "x")
    with pytest.raises(StoreError, match="truth:doc is no string"):
        await fetch(server.url, KEY)


async def test_a_server_that_is_not_there_is_said(free_port):
    with pytest.raises(StoreError, match=r"cannot be reached \(connection refused\)"):
        await fetch(f"redis://:hunter2@127.0.0.1:{free_port}", KEY)


async def test_where_nobody_said_where_the_truth_is_it_is_said_how_to(free_port, monkeypatch):
    url = f"redis://127.0.0.1:{free_port}"
    monkeypatch.setattr("healer.truth.store.DEFAULT_URL", url)
    with pytest.raises(StoreError, match="Set TRUTH_REDIS_URL if the truth is elsewhere"):
        await fetch(url, KEY)


async def test_a_refused_login_is_said_without_the_password(server, client):
    await client.config_set("requirepass", "secret")
    for url in (server.url, server.url.replace("redis://", "redis://:hunter2@")):
        with pytest.raises(StoreError, match="refuses the login") as caught:
            await fetch(url, KEY)
        assert "hunter2" not in str(caught.value)


async def test_a_user_without_permission_is_said(server, client):
    await client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">pw", "~other", "+get", "+hello", "+client", "+ping"
    )
    with pytest.raises(StoreError, match="does not permit"):
        await fetch(server.url.replace("redis://", "redis://reader:pw@"), KEY)


async def test_a_server_that_hangs_is_given_up(server):
    await server.pause()
    try:
        async with aclosing(Store(Location(server.url, KEY), timeout=0.2)) as store:
            with pytest.raises(StoreError, match=r"does not answer within 0.2 s"):
                await store.fetch()
    finally:
        await server.resume()


class Steps:
    """Stands in for time: each pause waits until the test lets it end, and remembers how long it was to be."""

    def __init__(self):
        self.pauses = []
        self._waiting = asyncio.Semaphore(0)
        self._passed = asyncio.Semaphore(0)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self._waiting.release()
        await self._passed.acquire()

    async def pause(self):
        """Wait until the watch sleeps."""
        async with asyncio.timeout(10):
            await self._waiting.acquire()

    async def next(self):
        """Let the watch look once more."""
        self._passed.release()
        await self.pause()


@pytest.fixture
async def watching(server, client):
    """A watch of the server's document, which is known at first, and the documents it reported."""
    steps, reported = Steps(), []
    await client.set(KEY, b"known")

    async def on_change(raw):
        reported.append(raw)

    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(
            watch(server.url, KEY, on_change, known=b"known", interval=1.0, sleep=steps.sleep)
        )
        await steps.pause()
        yield steps, reported, logs
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_reports_each_change_once(client, watching):
    steps, reported, logs = watching
    for raw in (b"known", b"one", b"one", b"two"):
        await client.set(KEY, raw)
        await steps.next()
    assert reported == [b"one", b"two"]
    assert logs == []


async def test_a_watch_keeps_its_connection_and_makes_a_new_one_when_redis_ends_it(client, watching):
    steps, reported, logs = watching
    before = (await client.info("stats"))["total_connections_received"]
    for _ in range(5):
        await steps.next()
    assert (await client.info("stats"))["total_connections_received"] == before
    await client.client_kill_filter(_type="normal", skipme=True)
    await client.set(KEY, b"two")
    await steps.next()
    assert reported == [b"two"]
    assert (await client.info("stats"))["total_connections_received"] == before + 1
    assert logs == []


async def test_a_watch_outlives_an_outage_and_logs_it_once(server, watching):
    steps, reported, logs = watching
    await server.kill()
    for _ in range(8):
        await steps.next()
    assert [event["log_level"] for event in logs] == ["warning"]
    assert all(0.5 <= pause <= 15 for pause in steps.pauses[-8:])
    assert steps.pauses[-1] > steps.pauses[-8]
    await server.restart()
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.set(KEY, b"two")
    await steps.next()
    assert reported == [b"two"]
    assert logs[-1]["event"] == "truth can be read again"
    assert len(logs) == 2


AS_A_DOCUMENT = {"no text", "a huge number"}
"""What GET may well answer: any bytes."""


@pytest.mark.parametrize("name", sorted(NONSENSE.keys() - AS_A_DOCUMENT))
async def test_what_is_no_redis_is_said(name):
    async with Odd(2, NONSENSE[name]).serving() as url:
        with pytest.raises(StoreError, match=r"127\.0\.0\.1:\d+ |truth not found"):
            await fetch(url, KEY)
