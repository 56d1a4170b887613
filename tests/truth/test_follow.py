"""A daemon that follows the truth: on a real Redis, with looks and documents that take their time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping

import pytest
import redis.asyncio
import structlog

from healer.runtime.tasks import end
from healer.truth.follow import MOST_LOGGED, Follower
from healer.truth.store import Location

KEY = "truth:doc"


def document(*names):
    entries = [{"bus": "b", "key": f"{name}:heartbeat"} for name in names]
    healer = {"access_points": {"subscribe_to": entries}}
    return json.dumps({"services": {"healer": healer}, "buses": {"b": {"url": "redis://b"}}})


class SlowEnvironment(Mapping):
    """An environment that keeps whoever reads it waiting: so long takes a document to load."""

    def __init__(self):
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __getitem__(self, name):
        self.asked.set()
        self.go_on.wait(10)
        raise KeyError(name)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0


class Daemon:
    """What a follower did, and the Redis that it follows."""

    def __init__(self, url, env):
        self.adopted, self.judged = [], []
        self._url = url
        self.looks = asyncio.Semaphore(0)
        place = Location(url, KEY)
        self.follower = Follower(place, env, self._adopt, self.judged.append, sleep=self._sleep)

    async def store(self, text):
        async with redis.asyncio.Redis.from_url(self._url) as client:
            await client.set(KEY, text)

    async def _adopt(self, truth):
        self.adopted.append([service.name for service in truth.services])

    async def _sleep(self, _):
        self.looks.release()
        await asyncio.sleep(0.01)

    async def look(self):
        """Wait until the document was looked at that is there now."""
        for _ in range(2):
            async with asyncio.timeout(10):
                await self.looks.acquire()
        while not self.looks.locked():
            await self.looks.acquire()


@pytest.fixture
async def server(redis_server):
    return await redis_server()


@pytest.fixture
async def daemon(server):
    tasks = []

    async def start(env=None, *, run=True):
        one = Daemon(server.url, env or {})
        if run:
            tasks.append(asyncio.create_task(one.follower.run()))
        return one

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_change_is_adopted_and_a_document_that_does_not_load_is_not(daemon):
    one = await daemon()
    for text in (document("a"), document("a"), "{", document("a", "b")):
        await one.store(text)
        await one.look()
    assert one.adopted == [["a"], ["a", "b"]]
    assert one.judged == [True, False, True]


async def test_a_reload_says_why_the_old_one_stays(daemon):
    one = await daemon(run=False)
    assert "no key truth:doc" in await one.follower.reload()
    await one.store("{")
    assert "truth:doc:1: the document: found its end" in await one.follower.reload()
    await one.store(document("a"))
    assert await one.follower.reload() is None
    assert one.judged == [False, False, True]


async def test_a_slow_reload_does_not_put_an_old_truth_over_a_newer_one(server, daemon):
    slow = SlowEnvironment()
    one = await daemon(slow, run=False)
    await one.store(document("old"))
    reload = asyncio.create_task(one.follower.reload())
    await asyncio.to_thread(slow.asked.wait, 10)
    await one.store(document("new"))
    following = asyncio.create_task(one.follower.run())
    await asyncio.sleep(0.2)
    slow.go_on.set()
    assert await reload is None
    await one.look()
    await end([following])
    assert one.adopted == [["old"], ["new"]]


async def test_a_reload_while_redis_is_away_is_made_good_once_the_document_is_read_again(server, daemon):
    one = await daemon(run=False)
    await one.store(document("a"))
    assert await one.follower.reload() is None
    await server.kill()
    assert "cannot be reached" in await one.follower.reload()
    assert one.judged == [True, False]
    await server.restart()
    await one.store(document("a"))
    following = asyncio.create_task(one.follower.run())
    await one.look()
    await end([following])
    assert one.judged == [True, False, True]
    assert one.adopted == [["a"]]


async def test_redis_coming_back_does_not_make_a_refused_document_good(server, daemon):
    one = await daemon(run=False)
    for text, judged in ((document("a"), True), ("{", False)):
        await one.store(text)
        await one.follower.reload()
        assert one.judged[-1] is judged
    await server.kill()
    await one.follower.reload()
    await server.restart()
    await one.store("{")
    following = asyncio.create_task(one.follower.run())
    await one.look()
    await end([following])
    assert one.judged == [True, False, False, False]


async def test_of_thousands_of_problems_the_log_holds_a_few(daemon):
    one = await daemon(run=False)
    wrong = json.loads(document(*(f"s{number}" for number in range(200))))
    wrong["services"].update({f"s{number}": {"severity": "loud"} for number in range(200)})
    await one.store(json.dumps(wrong))
    with structlog.testing.capture_logs() as logs:
        answer = await one.follower.reload()
    assert len(answer.splitlines()) == 200
    assert len(logs) == MOST_LOGGED + 2
    assert logs[MOST_LOGGED]["more"] == 200 - MOST_LOGGED
