"""One event for each change, on a real Redis: with two writers, lost answers, and a Redis that forgets."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionLostError
from tests.patience import stopwatch, until

from healer.sentinel import incidents
from healer.sentinel.events import HeartbeatMiss, HeartbeatOk
from healer.sentinel.ledger import Ledger, LedgerDownError, Place

if TYPE_CHECKING:
    from healer.sentinel.incidents import Record

FIRE = partial(incidents.fired, starts_at=100.0)
END = partial(incidents.resolved, ends_at=150.0, proven=True)


def event(record: Record) -> HeartbeatMiss | HeartbeatOk:
    return HeartbeatMiss("mesh", 31.2, 30.0, 7) if record.out else HeartbeatOk("mesh", 2.7, 8)


@pytest_asyncio.fixture
async def ledger():
    made: list[Ledger] = []

    def make(url: str, before: Ledger | None = None) -> Ledger:
        made.append(Ledger(Place(url, "healer:alerts", "healer:sentinel"), before))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def test_a_change_is_published_and_stored_with_the_same_bytes(redis_server, ledger, channel) -> None:
    server = await redis_server()
    heard = await channel(server.url)
    assert await ledger(server.url).apply("svc:mesh", FIRE, event) == HeartbeatMiss("mesh", 31.2, 30.0, 7)
    await until(lambda: heard.raw)
    async with Redis.from_url(server.url) as redis:
        assert heard.raw == [await redis.get("health:mesh")]
        assert await redis.hgetall("healer:sentinel") == {
            b"@": b"2",
            b"svc:mesh": b'{"missing":true,"since":100.0}',
        }


async def test_two_sentinels_publish_once_between_them(redis_server, ledger, channel) -> None:
    server = await redis_server()
    heard = await channel(server.url)
    one, two = ledger(server.url), ledger(server.url)
    for change, expected in ((FIRE, 1), (END, 2)):
        await asyncio.gather(*(each.apply("svc:mesh", change, event) for each in (one, two) * 10))
        await until(lambda n=expected: len(heard.raw) == n)
    await asyncio.sleep(0.1)
    assert heard.events() == [("heartbeat_miss", "mesh"), ("heartbeat_ok", "mesh")]


async def test_what_another_sentinel_wrote_is_seen_before_a_change_is_judged(redis_server, ledger) -> None:
    server = await redis_server()
    one, two = ledger(server.url), ledger(server.url)
    await one.apply("svc:mesh", FIRE, event)
    assert await two.apply("svc:mesh", END, event) is not None
    later = partial(incidents.fired, starts_at=200.0)
    assert await one.apply("svc:mesh", later, event) is not None, "its own view said: still missing"


async def test_a_new_process_remembers(redis_server, ledger) -> None:
    server = await redis_server()
    await ledger(server.url).apply("svc:mesh", FIRE, event)
    restarted = ledger(server.url)
    assert await restarted.apply("svc:mesh", FIRE, event) is None
    assert restarted.record("svc:mesh").out


async def test_a_change_that_is_nobodys_business_is_kept_and_not_published(redis_server, ledger) -> None:
    server = await redis_server()
    books = ledger(server.url)
    assert await books.apply("svc:mesh", FIRE, lambda _: None) is None
    assert books.record("svc:mesh").out
    async with Redis.from_url(server.url) as redis:
        assert await redis.get("health:mesh") is None


async def test_a_redis_that_comes_back_empty_is_given_its_records(redis_server, ledger, channel) -> None:
    server = await redis_server()
    books = ledger(server.url)
    await books.apply("svc:mesh", FIRE, event)
    await server.kill()
    await server.restart()
    heard = await channel(server.url)
    assert await books.apply("svc:mesh", FIRE, event) is None
    assert await books.apply("svc:mesh", END, event) is not None
    await until(lambda: heard.raw)
    assert heard.events() == [("heartbeat_ok", "mesh")]


async def test_a_user_who_may_not_publish_is_told_so_until_the_event_is_out(
    redis_server, ledger, channel
) -> None:
    server = await redis_server()
    heard = await channel(server.url)
    rights = ("on", ">s3cret", "~*", "+@all", "resetchannels")
    async with Redis.from_url(server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "healer", *rights)
        books = ledger(f"redis://healer:s3cret@127.0.0.1:{server.port}")
        for _ in range(2):
            with pytest.raises(LedgerDownError):
                await books.apply("svc:mesh", FIRE, event)
        await redis.execute_command("ACL", "SETUSER", "healer", "allchannels")
    assert await books.apply("svc:mesh", FIRE, event) is not None
    await until(lambda: heard.raw)


async def test_a_redis_restored_from_an_older_snapshot_is_given_what_it_lost(
    redis_server, ledger, channel
) -> None:
    server = await redis_server()
    books = ledger(server.url)
    await books.apply("svc:mesh", FIRE, event)
    async with Redis.from_url(server.url) as redis:
        snapshot = await redis.dump("healer:sentinel")
        await books.apply("svc:mesh", END, event)
        await books.apply("svc:rss_agg", FIRE, event)
        await redis.restore("healer:sentinel", 0, snapshot, replace=True)
    await books.refresh()
    restarted = ledger(server.url)
    await restarted.refresh()
    assert not restarted.record("svc:mesh").out
    assert restarted.record("svc:rss_agg").out


async def test_ten_thousand_records_survive_an_emptied_redis(redis_server, ledger) -> None:
    server = await redis_server()
    async with Redis.from_url(server.url) as redis:
        records = {f"svc:s{number}": '{"missing":true,"since":100.0}' for number in range(10_000)}
        await redis.hset("healer:sentinel", mapping={"@": "7", **records})
        books = ledger(server.url)
        await books.refresh()
        await redis.flushall()
        await books.refresh()
        assert await redis.hlen("healer:sentinel") == 10_001
    assert await books.apply("svc:s9999", FIRE, event) is None


async def test_what_did_not_change_is_not_read_again(redis_server, ledger) -> None:
    server = await redis_server()
    one, two = ledger(server.url), ledger(server.url)
    for number in range(50):
        await one.apply(f"svc:s{number}", FIRE, event)
    await two.refresh()
    async with Redis.from_url(server.url) as redis:
        await redis.config_resetstat()
        for books in (one, two) * 5:
            await books.refresh()
        assert "cmdstat_hgetall" not in await redis.info("commandstats")
        await one.apply("svc:s7", END, event)
        await one.refresh()
        await two.refresh()
        assert (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"] == 1
    assert not two.record("svc:s7").out


async def test_a_redis_that_is_gone_is_said_at_once_and_found_again(redis_server, ledger) -> None:
    server = await redis_server()
    books = ledger(server.url)
    await server.kill()
    with pytest.raises(LedgerDownError, match="Redis at redis://127"):
        await books.apply("svc:mesh", FIRE, event)
    assert books.up is False
    await server.restart()
    assert await books.apply("svc:mesh", FIRE, event) is not None
    assert books.up is True


async def test_a_redis_that_hangs_is_given_up_within_two_seconds(redis_server, ledger) -> None:
    server = await redis_server()
    books = ledger(server.url)
    await books.apply("svc:mesh", FIRE, event)
    await server.pause()
    with stopwatch(os.getpid()) as watch, pytest.raises(LedgerDownError):
        await books.apply("svc:mesh", END, event)
    assert watch.seconds < 2.5
    await server.resume()
    await books.apply("svc:mesh", END, event)
    assert not books.record("svc:mesh").out


async def test_a_lost_answer_is_asked_for_again_and_the_event_is_ours(redis_server, ledger, channel) -> None:
    server = await redis_server()
    heard = await channel(server.url)
    books = ledger(server.url)
    await books.refresh()
    compare = books._compare
    calls = 0

    async def once_without_answer(*args):
        nonlocal calls
        calls += 1
        answer = await compare(*args)
        if calls == 1:
            raise ConnectionLostError("Connection closed by server.")
        return answer

    books._compare = once_without_answer
    assert await books.apply("svc:mesh", FIRE, event) is not None
    await until(lambda: heard.raw)
    await asyncio.sleep(0.1)
    assert len(heard.raw) == 1


async def test_another_bus_is_given_the_records_of_the_old_one(redis_server, ledger) -> None:
    old, new = await redis_server(), await redis_server()
    before = ledger(old.url)
    await before.apply("svc:mesh", FIRE, event)
    assert await ledger(new.url, before).apply("svc:mesh", END, event) is not None


async def test_records_that_somebody_scribbled_over_are_replaced(redis_server, ledger) -> None:
    server = await redis_server()
    async with Redis.from_url(server.url) as redis:
        await redis.hset("healer:sentinel", mapping={"@": "1", "svc:mesh": "{scribble", b"svc:\xff": b"\xff"})
    assert await ledger(server.url).apply("svc:mesh", FIRE, event) is not None


async def test_a_password_is_in_no_message(redis_server, ledger) -> None:
    server = await redis_server()
    books = ledger(f"redis://healer:s3cret@127.0.0.1:{server.port}")
    with pytest.raises(LedgerDownError) as refused:
        await books.apply("svc:mesh", FIRE, event)
    assert "s3cret" not in str(refused.value)
