"""The sentinel behind a real Prometheus and Alertmanager, which die and come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING

import pytest_asyncio
from redis.asyncio import Redis
from tests.patience import until

from healer.bundle import Settings, render, write
from healer.runtime.tasks import end
from healer.stack import stack
from healer.truth.load import parse

from .conftest import document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

TIMEOUT = 2.0
"""Of a service and of Healer itself, in these tests."""


class Beating:
    """Services that beat every 0.2 s for as long as they are named.

    Attributes:
        sent: Between which instants the last beat of each was published.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.alive = {"rss_agg", "mesh"}
        self.sent: dict[str, tuple[float, float]] = {}

    async def run(self) -> None:
        async with Redis.from_url(self.url) as redis:
            while True:
                for svc in tuple(self.alive):
                    begun = time.time()
                    beat = {"svc": svc, "i": 1, "ts": int(begun)}
                    await redis.publish(f"{svc}:heartbeat", json.dumps(beat))
                    self.sent[svc] = begun, time.time()
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture
async def pipeline(servers, ports, redis_server, tmp_path) -> AsyncIterator[Callable]:
    """Return a factory that starts everything and waits until a Watchdog came through."""
    async with contextlib.AsyncExitStack() as running:

        async def start(sentinel, channel):
            bus = await redis_server()
            text = json.dumps(document(bus.url, timeout=TIMEOUT, own=TIMEOUT))
            async with Redis.from_url(bus.url) as redis:
                await redis.set("truth:doc", text)
            heard = await channel(bus.url)
            guard = await sentinel(bus.url)
            await guard.ready()
            exporter_port, prometheus_port, alertmanager_port = ports.take(), ports.take(), ports.take()
            settings = Settings(
                exporters=(f"127.0.0.1:{exporter_port}",),
                sentinels=(guard.url.removeprefix("http://"),),
                alertmanagers=(f"127.0.0.1:{alertmanager_port}",),
                prometheus=(f"127.0.0.1:{prometheus_port}",),
                scrape_interval=0.25,
                evaluation_interval=0.25,
                resend_delay=0.5,
                group_interval=0.5,
            )
            bundle = tmp_path / "bundle"
            write(render(parse(text, env={}).truth, settings), bundle)
            parts = [
                stack.healer("exporter", tmp_path, exporter_port, {"TRUTH_REDIS_URL": bus.url}),
                stack.alertmanager(
                    servers.alertmanager,
                    tmp_path,
                    alertmanager_port,
                    bundle / "alertmanager/alertmanager.yml",
                ),
                stack.prometheus(
                    servers.prometheus,
                    tmp_path,
                    prometheus_port,
                    bundle / "prometheus/prometheus.yml",
                    resend_delay=0.5,
                ),
            ]
            services = Beating(bus.url)
            task = asyncio.create_task(services.run())
            running.push_async_callback(end, [task])
            for part in parts:
                running.push_async_callback(part.kill)
                await part.start()
                await part.wait_ready()
            samples = await guard.metrics()
            while not samples["sentinel_watchdog_last_beat_timestamp_seconds"]:
                await asyncio.sleep(0.1)
                samples = await guard.metrics()
            await until(lambda: heard.events()[-1:] in ([], [("healer_ok", "healer")]))
            heard.raw.clear()
            return services, heard, guard, *parts

        yield start


async def test_a_death_and_a_return_are_one_event_each(pipeline, sentinel, channel) -> None:
    services, heard, _, *_ = await pipeline(sentinel, channel)
    await asyncio.sleep(TIMEOUT)
    services.alive.remove("rss_agg")
    await until(lambda: heard.raw)
    missed, (last, _) = time.time(), services.sent["rss_agg"]
    services.alive.add("rss_agg")
    await until(lambda: len(heard.raw) == 2)
    returned = time.time()
    await asyncio.sleep(2.0)
    assert heard.events() == [("heartbeat_miss", "rss_agg"), ("heartbeat_ok", "rss_agg")]
    miss, ok = map(json.loads, heard.raw)
    assert TIMEOUT <= miss["late_sec"] <= missed - last + 0.1
    assert miss["timeout_sec"] == TIMEOUT
    assert 0.0 <= ok["age_sec"] <= returned - missed + 0.1


async def test_the_death_of_prometheus_is_no_recovery_of_what_is_dead(pipeline, sentinel, channel) -> None:
    services, heard, guard, _, _, prometheus = await pipeline(sentinel, channel)
    await asyncio.sleep(TIMEOUT)
    services.alive.remove("rss_agg")
    await until(lambda: heard.raw)
    await prometheus.kill()
    await until(lambda: len(heard.raw) == 2)
    await asyncio.sleep(2.0)
    assert heard.events() == [("heartbeat_miss", "rss_agg"), ("healer_miss", "healer")]
    assert (await guard.metrics())["sentinel_pending_resolutions"] == 1, "Alertmanager called it resolved"
    await prometheus.restart()
    await until(lambda: len(heard.raw) == 3)
    await asyncio.sleep(2 * TIMEOUT + TIMEOUT)
    assert heard.events()[2:] == [("healer_ok", "healer")]
    assert (await guard.metrics())["sentinel_pending_resolutions"] == 0
    services.alive.add("rss_agg")
    await until(lambda: len(heard.raw) == 4)
    assert heard.events()[3:] == [("heartbeat_ok", "rss_agg")]


async def test_the_death_of_alertmanager_is_heard_and_nothing_is_said_twice(
    pipeline, sentinel, channel
) -> None:
    services, heard, _, _, alertmanager, _ = await pipeline(sentinel, channel)
    await asyncio.sleep(TIMEOUT)
    services.alive.remove("rss_agg")
    await until(lambda: heard.raw)
    await alertmanager.kill()
    await until(lambda: len(heard.raw) == 2)
    await alertmanager.restart()
    await until(lambda: len(heard.raw) == 3)
    services.alive.add("rss_agg")
    # Where the service came back before the new Alertmanager had told of its death, it never tells of its return:
    # then the Watchdog proves it.
    await until(lambda: len(heard.raw) == 4)
    await asyncio.sleep(1.0)
    assert heard.events() == [
        ("heartbeat_miss", "rss_agg"),
        ("healer_miss", "healer"),
        ("healer_ok", "healer"),
        ("heartbeat_ok", "rss_agg"),
    ]


async def test_a_return_that_a_crashed_alertmanager_forgot_to_tell_is_known_and_so_is_the_next_death(
    pipeline, sentinel, channel
) -> None:
    services, heard, guard, _, alertmanager, _ = await pipeline(sentinel, channel)
    await asyncio.sleep(TIMEOUT)
    services.alive.remove("rss_agg")
    await until(lambda: heard.raw)
    await alertmanager.kill()
    services.alive.add("rss_agg")
    await asyncio.sleep(2 * TIMEOUT)
    await alertmanager.restart()
    await until(lambda: ("heartbeat_ok", "rss_agg") in heard.events())
    assert "nobody says any more" not in guard.log.read_text(), (
        "a beat proved it, long before it would have lapsed"
    )
    services.alive.remove("rss_agg")
    await until(lambda: heard.events()[-1:] == [("heartbeat_miss", "rss_agg")])
    said = [type_ for type_, svc in heard.events() if svc == "rss_agg"]
    assert said == ["heartbeat_miss", "heartbeat_ok", "heartbeat_miss"]
