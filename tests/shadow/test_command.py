"""`healer shadow` beside a healer written by hand, on a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from healer.demo.world import World
from healer.shadow.prepare import ShadowError, prepare
from healer.stack.process import Command, Process
from healer.truth.load import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from healer.stack.servers import Servers

BY_HAND = Path(__file__).parents[2] / "bench" / "handwritten.py"
SERVICES = ("rss_agg", "mesh")


def document(url: str, timeout: float = 1.5) -> dict[str, Any]:
    beat = {"interval_sec": 0.2, "timeout_sec": timeout}
    access = {
        "subscribe_to": [{"bus": "system-redis", "key": f"{name}:heartbeat"} for name in SERVICES],
        "publish_to": [{"bus": "system-redis", "key": "healer:alerts"}],
    }
    return {
        "buses": {"system-redis": {"url": url}},
        "services": {**{name: {"heartbeat": beat} for name in SERVICES}, "healer": {"access_points": access}},
    }


def shadowed(source: dict[str, Any]) -> dict[str, Any]:
    raw = json.dumps(source).encode()
    made: dict[str, Any] = json.loads(prepare(raw, parse(raw, env={})))
    return made


async def _at_once() -> bool:
    return True


def by_hand(name: str, url: str, channel: str, source: dict[str, Any], folder: Path) -> Process:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(source))
    return Process(Command(name, [sys.executable, BY_HAND, url, channel, path], _at_once), folder)


class Shadow:
    """`healer shadow run`, and what it says."""

    def __init__(self, url: str, *options: str) -> None:
        self._argv = (sys.executable, "-m", "healer", "shadow", "run", *options)
        self._env = {**os.environ, "TRUTH_REDIS_URL": url, "TRUTH_REDIS_KEY": "truth:shadow"}
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(
            *self._argv, env=self._env, stdout=pipe, stderr=pipe
        )

    async def end(self) -> tuple[int | None, str, str]:
        assert self._child is not None
        if self._child.returncode is None:
            self._child.send_signal(signal.SIGTERM)
        out, err = await self._child.communicate()
        return self._child.returncode, out.decode(), err.decode()


@asynccontextmanager
async def beating(redis: Redis, *names: str) -> AsyncIterator[set[str]]:
    alive = set(names)

    async def beat() -> None:
        while True:
            for name in tuple(alive):
                await redis.publish(f"{name}:heartbeat", json.dumps({"svc": name, "i": 1, "ts": time.time()}))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(beat())
    try:
        yield alive
    finally:
        task.cancel()


async def subscribers(redis: Redis, channel: str, count: int) -> None:
    async with asyncio.timeout(15):
        while dict(await redis.pubsub_numsub(channel))[channel.encode()] < count:  # noqa: ASYNC110  other processes
            await asyncio.sleep(0.05)


@pytest.mark.long
async def test_it_tells_where_two_healers_differ_and_who_is_right_by_the_beats(
    redis_server, tmp_path: Path
) -> None:
    bus = await redis_server()
    theirs = by_hand("theirs", bus.url, "healer:alerts", document(bus.url), tmp_path)
    ours = by_hand("ours", bus.url, "shadow:alerts", document(bus.url), tmp_path)
    shadow = Shadow(bus.url, "--within", "1.5")
    async with Redis.from_url(bus.url) as redis, beating(redis, *SERVICES) as alive:
        await redis.set("truth:shadow", json.dumps(shadowed(document(bus.url))))
        try:
            await theirs.start()
            await ours.start()
            await shadow.start()
            await subscribers(redis, "mesh:heartbeat", 3)
            await asyncio.sleep(1.0)
            alive.discard("mesh")  # both notice, and their return
            await asyncio.sleep(3.0)
            alive.add("mesh")
            await asyncio.sleep(0.5)
            await theirs.kill()  # the other one does not notice what it does not live to see
            alive.discard("rss_agg")
            await asyncio.sleep(4.5)
            # A lie of the other's, and something that is no event.
            lie = {"type": "heartbeat_miss", "svc": "mesh", "late_sec": 2.0, "timeout_sec": 1.5, "ts": 1}
            await redis.publish("healer:alerts", json.dumps(lie))
            await redis.publish("healer:alerts", b"\xff{")
            await asyncio.sleep(2.5)
        finally:
            await theirs.kill()
            await ours.kill()
            status, out, err = await shadow.end()
    lines = out.splitlines()
    assert "rss_agg  only ours: heartbeat_miss  ours is right: the last beat came " in lines[0], out
    assert "mesh  only theirs: heartbeat_miss  ours is right: the last beat came 0." in lines[1], out
    assert lines[2].startswith("shadow: listened for"), out
    assert "2 events alike, 2 disagreements" in lines[2]
    assert "  not readable: ours 0, theirs 1" in lines
    assert (status, err) == (0, "")


async def test_what_speaks_for_the_other_one_is_told_by_the_exit_status(redis_server, tmp_path: Path) -> None:
    bus = await redis_server()
    theirs = by_hand("theirs", bus.url, "healer:alerts", document(bus.url), tmp_path)
    shadow = Shadow(bus.url, "--within", "0.5", "--json")
    async with Redis.from_url(bus.url) as redis, beating(redis, *SERVICES) as alive:
        await redis.set("truth:shadow", json.dumps(shadowed(document(bus.url))))
        try:
            await shadow.start()
            await subscribers(redis, "mesh:heartbeat", 1)
            await theirs.start()
            await subscribers(redis, "mesh:heartbeat", 2)
            await asyncio.sleep(0.3)
            alive.discard("mesh")
            await asyncio.sleep(3.4)
        finally:
            await theirs.kill()
            status, out, err = await shadow.end()
    (found,) = (json.loads(line) for line in out.splitlines())
    assert (found["svc"], found["what"], found["verdict"]) == (
        "mesh",
        "only theirs: heartbeat_miss",
        "theirs is right",
    )
    assert status == 1
    assert err.startswith("shadow: listened for")


async def test_a_redis_that_goes_leaves_nothing_judged_that_could_not_be_heard(redis_server) -> None:
    bus = await redis_server(keep=True)
    shadow = Shadow(bus.url, "--within", "0.5")
    async with Redis.from_url(bus.url) as redis:
        await redis.set("truth:shadow", json.dumps(shadowed(document(bus.url))))
        await shadow.start()
        await subscribers(redis, "mesh:heartbeat", 1)
        await bus.restart()
    async with Redis.from_url(bus.url) as redis:
        await subscribers(redis, "healer:alerts", 1)
        await redis.publish(
            "healer:alerts", json.dumps({"type": "heartbeat_miss", "svc": "mesh", "timeout_sec": 1.5})
        )
        await asyncio.sleep(1.5)
        status, out, err = await shadow.end()
    assert "open: we have listened to system-redis for 0." in out
    assert status == 1
    assert "healer shadow: redis://127.0.0.1:" in err


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_the_whole_pipeline_in_the_shadow_of_a_healer_that_cries_wolf(
    servers: Servers, tmp_path: Path
) -> None:
    source = document("redis://system-redis:6379", timeout=3.0)
    made = shadowed(source)
    for name in SERVICES:
        made["services"][name]["heartbeat"]["interval_sec"] = 0.5
    async with World.start(servers, made, tmp_path) as world:
        bus = world.redis["system-redis"]
        theirs = by_hand("theirs", bus.url, "healer:alerts", source, tmp_path)
        async with Redis.from_url(bus.url) as redis:
            await redis.set("truth:shadow", world.raw)
        shadow = Shadow(bus.url, "--within", "8", "--theirs-url", bus.url)
        try:
            await theirs.start()
            await shadow.start()
            await asyncio.sleep(5.0)
            await world.services["mesh"].kill()
            await world.events.wait("heartbeat_miss", "mesh", within=20)
            await asyncio.sleep(2.0)  # the other one looks once a second
            await world.services["mesh"].restart()
            await world.events.wait("heartbeat_ok", "mesh", within=40)
            await theirs.pause()  # beats wait for it meanwhile; it looks at its clock first
            await asyncio.sleep(5.0)
            await theirs.resume()
            await asyncio.sleep(12.0)
        finally:
            await theirs.kill()
            status, out, err = await shadow.end()
    lines = out.splitlines()
    assert status == 0, out + err
    assert [line.partition("UTC  ")[2].partition(":")[0] for line in lines if "UTC" in line], (
        "a false alarm was told"
    )
    assert all(
        "only theirs: heartbeat_miss  ours is right: the last beat came" in line
        for line in lines
        if "UTC" in line
    ), out
    assert "2 events alike" in out, out


def test_the_shadows_truth_watches_the_same_and_speaks_elsewhere() -> None:
    raw = (Path(__file__).parents[1] / "truth/corpus/good/user_guide.json").read_bytes()
    before = parse(raw, env={}).truth
    made = json.dumps(shadowed(json.loads(raw)))
    after = parse(made, env={}).truth
    assert after.services == before.services
    assert (after.monitor.alerts_channel, after.monitor.heartbeat_channel) == (
        "shadow:alerts",
        "shadow:heartbeat",
    )
    assert after.bus(after.monitor.alerts_bus).url == f"{before.bus('system-redis').url}/15"
    assert {bus.name: bus.url for bus in after.buses} == {
        **{bus.name: bus.url for bus in before.buses}, "shadow": "redis://system-redis:6379/15"
    }  # fmt: skip


def test_a_bus_that_is_called_shadow_is_not_overwritten() -> None:
    with pytest.raises(ShadowError, match=r"buses\.shadow: there is a bus of this name"):
        shadowed(
            {
                **document("redis://a"),
                "buses": {"system-redis": {"url": "redis://a"}, "shadow": {"url": "redis://b"}},
            }
        )
