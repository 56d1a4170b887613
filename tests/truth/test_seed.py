from __future__ import annotations

import asyncio
import io
import json

import pytest
import redis.asyncio

from healer.truth import report
from healer.truth.diff import diff
from healer.truth.load import parse
from healer.truth.seed import Outcome, seed

KEY = "truth:doc"


@pytest.fixture
async def buses(redis_server):
    return {"system-redis": await redis_server(), "market-redis": await redis_server()}


@pytest.fixture
def document(buses, wiring):
    """A document, as bytes, whose two buses are real."""

    def document(watch=("rss_agg", "mesh"), **services):
        urls = {name: {"url": server.url} for name, server in buses.items()}
        return json.dumps(wiring(services, watch=watch, buses=urls)).encode()

    return document


async def seeded(raw):
    results = await seed(raw, parse(raw, env={}), KEY, {})
    return {result.bus.name: (result.outcome, result.details) for result in results}


async def held(server):
    async with redis.asyncio.Redis.from_url(server.url) as client:
        return await client.get(KEY)


async def test_a_document_is_written_to_every_bus_byte_for_byte_also_where_nothing_beats(buses, document):
    raw = document() + b"\r\n"
    assert await seeded(raw) == dict.fromkeys(buses, (Outcome.CREATED, ()))
    assert [await held(server) for server in buses.values()] == [raw, raw]


async def test_seeding_twice_changes_nothing(buses, document):
    await seeded(document())
    assert await seeded(document()) == dict.fromkeys(buses, (Outcome.UNCHANGED, ()))


async def test_what_changed_is_said_in_heartbeat_terms(document):
    await seeded(document(rss_agg={"heartbeat": {"interval_sec": 10}}))
    changed = await seeded(
        document(("rss_agg", "massive"), rss_agg={"heartbeat": {"interval_sec": 5, "ttl_sec": 15}})
    )
    details = (
        "- mesh",
        "+ massive: massive:heartbeat on system-redis, every 10 s, timeout 30 s",
        "~ rss_agg: interval 10 s -> 5 s, timeout 30 s -> 15 s",
    )
    assert changed["system-redis"] == changed["market-redis"] == (Outcome.CHANGED, details)


async def test_a_change_of_what_healer_does_not_read_is_said_so(document):
    await seeded(document())
    changed = await seeded(document(other={"workflow": 1}))
    assert changed["system-redis"] == (Outcome.CHANGED, ("nothing that Healer reads",))


async def test_a_document_that_did_not_load_is_replaced(buses, document):
    async with redis.asyncio.Redis.from_url(buses["system-redis"].url) as client:
        await client.set(KEY, "{")
    assert (await seeded(document()))["system-redis"] == (Outcome.CHANGED, ("what was there did not load",))


async def test_a_bus_that_fails_does_not_keep_the_others_from_being_written(buses, document):
    raw = document()
    await buses["system-redis"].kill()
    results = await seeded(raw)
    assert results["market-redis"] == (Outcome.CREATED, ())
    outcome, (reason,) = results["system-redis"]
    assert outcome is Outcome.FAILED
    assert "cannot be reached (connection refused)" in reason
    assert await held(buses["market-redis"]) == raw


async def test_what_is_no_string_is_not_overwritten(buses, document):
    async with redis.asyncio.Redis.from_url(buses["system-redis"].url) as client:
        await client.lpush(KEY, "x")
    assert (await seeded(document()))["system-redis"][0] is Outcome.FAILED


def test_a_difference_names_buses_and_healer_itself_too(load, wiring):
    old = load(wiring(healer={"heartbeat": {"channel": "old"}})).truth
    new = load(wiring(buses={"system-redis": {"url": "redis://:hunter2@s"}})).truth
    assert diff(old, new) == (
        "~ bus system-redis: redis://system-redis:6379 -> redis://s",
        "~ healer itself: heartbeat channel old -> healer:heartbeat",
    )
    assert diff(new, new) == ()


class TestCommand:
    """`healer truth seed`, `check` and `show` against a real bus, run in threads as they bring their own loop."""

    @staticmethod
    async def run(command, *arguments, **options):
        out, err = io.StringIO(), io.StringIO()
        status = await asyncio.to_thread(command, *arguments, out, err, **options)
        return status, out.getvalue(), err.getvalue()

    async def test_seed_says_what_it_did_and_fails_if_a_bus_failed(self, buses, document, tmp_path):
        path = tmp_path / "truth.json"
        path.write_bytes(document())
        status, out, err = await self.run(report.seed, str(path), {})
        market, system = (buses[name].url for name in ("market-redis", "system-redis"))
        assert (status, err) == (0, "")
        assert (
            out
            == f"market-redis: truth:doc created at {market}\nsystem-redis: truth:doc created at {system}\n"
        )
        await buses["system-redis"].kill()
        status, out, err = await self.run(report.seed, str(path), {})
        assert status == 1
        assert out == f"market-redis: truth:doc unchanged at {market}\n"
        assert err.startswith("system-redis: truth:doc not written: ")

    async def test_a_document_that_does_not_load_is_never_written(self, buses, document, tmp_path):
        path = tmp_path / "truth.json"
        path.write_bytes(document(rss_agg={"severity": "high"}))
        status, out, err = await self.run(report.seed, str(path), {})
        assert (status, out) == (1, "")
        assert err.endswith("nothing was seeded\n")
        assert await held(buses["system-redis"]) is None

    async def test_the_document_in_redis_can_be_checked_and_shown(self, buses, document):
        env = {"TRUTH_REDIS_URL": buses["system-redis"].url}
        status, out, err = await self.run(report.check, None, env)
        assert (status, out) == (1, "")
        assert err.startswith("truth not found: no key truth:doc on redis://127.0.0.1:")
        await seeded(document())
        status, out, err = await self.run(report.check, None, env)
        assert status == 0
        assert ": ok: 2 services on 1 bus, sha256 " in out
        status, out, err = await self.run(report.show, None, env, json=True)
        assert json.loads(out)["services"]["mesh"]["warmup_sec"] == 22.5
