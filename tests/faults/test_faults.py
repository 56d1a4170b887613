"""Every way in which a bus can lie: known in time, shown with its reason, said once, recovered from; nobody is fooled."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests import redises
from tests.faults.conftest import DETECTED, SCRAPE, down, failures, healthy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.faults.conftest import Trouble

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

LASTS = 5.0
"""Seconds that a trouble is left alone: twice the timeout of a service."""


async def endure(
    world: Trouble,
    begin: Callable[[], Awaitable[object]],
    end: Callable[[], Awaitable[object]],
    *reasons: str,
    detected: float = DETECTED,
    lasts: float = LASTS,
) -> None:
    """Let a trouble begin and end; assert all that has to hold of any.

    Args:
        world: Where.
        begin: Makes it.
        end: Takes it away.
        reasons: The first is what it has to be counted as; the others may be, while it lasts.
        detected: Seconds within which it has to show.
        lasts: Seconds from beginning to end.
    """
    before = failures(await world.samples())
    said = len(world.logged("event=lost")), len(world.logged("event=hearing"))
    begun = time.monotonic()
    await begin()
    # A loss that is over within a scrape still has its counter.
    took, samples = await world.until(lambda now: failures(now) != before, detected + 1)
    took = time.monotonic() - begun
    assert took < detected, f"known after {took:.2f} s"
    first = {reason for reason, count in failures(samples).items() if count != before.get(reason)}
    assert first == {reasons[0]}
    await asyncio.sleep(max(0.0, lasts - took))
    if lasts:
        assert down(await world.samples())
    await end()
    back, samples = await world.until(healthy, 15)
    counted = {reason for reason, count in failures(samples).items() if count != before.get(reason)}
    assert counted <= set(reasons), counted
    await asyncio.sleep(8 * SCRAPE)  # past the warm-up, when what is wrong would be said
    assert world.exporter.returncode is None
    assert (len(world.logged("event=lost")) - said[0], len(world.logged("event=hearing")) - said[1]) == (1, 1)
    await world.nobody_was_fooled()
    print(f"known after {took:.2f} s, back {back:.2f} s after its end, {counted}")  # noqa: T201  # shown with -s


async def nothing() -> None:
    """Do nothing: some troubles are over when they begin."""


def admin(world_url: str, *command: str | int) -> Callable[[], Awaitable[object]]:
    async def send() -> object:
        async with Redis.from_url(world_url) as redis:
            try:
                return await redis.execute_command(*command)
            except RedisError:
                return None

    return send


async def test_packets_are_dropped_on_connections_that_stay_open(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)

    async def cut() -> None:
        world.proxy.swallow = True

    async def heal() -> None:
        world.proxy.swallow = False

    # `timeout`: who connects anew gets no answer to the handshake either.
    await endure(world, cut, heal, "deaf", "timeout", "closed", lasts=8.0)


async def test_one_connection_is_half_open_and_new_ones_work(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)

    async def silence() -> None:
        world.proxy.silence()

    await endure(world, silence, nothing, "deaf", "timeout", lasts=0)


async def test_a_bus_answers_but_never_delivers(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)

    async def mute() -> None:
        world.proxy.no_messages = True

    async def heal() -> None:
        world.proxy.no_messages = False

    await endure(world, mute, heal, "deaf")


async def test_a_reader_that_stands_still_is_disconnected_for_its_output_buffer(
    redis_server, trouble
) -> None:
    bus = await redis_server()
    world = await trouble(bus.url, proxied=False)
    await admin(bus.url, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 262144 131072 1")()
    world.exporter.send_signal(signal.SIGSTOP)
    async with Redis.from_url(bus.url) as redis:
        for _ in range(200):
            await redis.publish("alive:heartbeat", b"x" * 60_000)
            clients = await redis.client_list(_type="pubsub")
            if not clients:
                break
            await asyncio.sleep(0.02)
        assert not clients
    await asyncio.sleep(
        3.0
    )  # longer than the timeout: nobody watches, and nobody may be called missing for it
    world.exporter.send_signal(signal.SIGCONT)
    _, samples = await world.until(failures, 3)
    assert set(failures(samples)) <= {"closed", "deaf"}
    await world.until(healthy, 10)
    await asyncio.sleep(8 * SCRAPE)
    assert len(world.logged("event=lost")) == 1
    await world.nobody_was_fooled()


async def test_client_kill(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)
    await endure(world, admin(bus.url, "CLIENT", "KILL", "TYPE", "pubsub"), nothing, "closed", lasts=0)


async def test_client_pause(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)
    await endure(world, admin(bus.url, "CLIENT", "PAUSE", 6000, "ALL"), nothing, "deaf", "timeout")


async def test_debug_sleep(servers, ports, tmp_path, trouble) -> None:
    bus = redises.server(servers, tmp_path, ports.take(), "bus", "--enable-debug-command", "local")
    await bus.start()
    await bus.wait_ready()
    try:
        world = await trouble(bus.url)
        asleep: list[asyncio.Task[object]] = []

        async def sleep() -> None:
            asleep.append(asyncio.create_task(admin(bus.url, "DEBUG", "SLEEP", 6)()))

        async def wake() -> None:
            await asleep[0]

        await endure(world, sleep, wake, "deaf", "timeout")
    finally:
        await bus.kill()


async def test_a_wrong_password(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)
    services = world.url

    async def lock() -> None:
        await admin(bus.url, "ACL", "SETUSER", "services", "on", "nopass", "allchannels", "+@all")()
        world.url = services.replace("redis://", "redis://services:x@")
        await admin(bus.url, "CONFIG", "SET", "requirepass", "changed")()
        await admin(world.url, "CLIENT", "KILL", "TYPE", "pubsub")()

    async def unlock() -> None:
        await admin(world.url, "CONFIG", "SET", "requirepass", "")()

    await endure(world, lock, unlock, "closed", "auth")
    assert failures(await world.samples())["auth"] >= 1


async def test_noperm_to_subscribe(redis_server, trouble) -> None:
    bus = await redis_server()
    rights = "SETUSER", "healer", "on", ">pw", "+@all"
    await admin(bus.url, "ACL", *rights, "allchannels")()
    world = await trouble(bus.url, through=bus.url.replace("redis://", "redis://healer:pw@"))

    async def forbid() -> None:
        await admin(bus.url, "ACL", *rights, "resetchannels", "&other:*")()

    # Redis closes connections that are subscribed to what is no longer allowed.
    await endure(world, forbid, admin(bus.url, "ACL", *rights, "allchannels"), "closed", "denied")
    assert failures(await world.samples())["denied"] >= 1


async def test_noperm_to_publish_the_own_beat(redis_server, trouble) -> None:
    bus = await redis_server()
    rights = "SETUSER", "healer", "on", ">pw", "allchannels"
    await admin(bus.url, "ACL", *rights, "+@all")()
    world = await trouble(bus.url, through=bus.url.replace("redis://", "redis://healer:pw@"))
    await endure(
        world,
        admin(bus.url, "ACL", *rights, "-publish"),
        admin(bus.url, "ACL", *rights, "+publish"),
        "denied",
        "deaf",  # on the way back, a beat that could be published but has not come yet
    )


async def test_maxclients(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url)
    holder = Redis.from_url(bus.url, single_connection_client=True)
    await holder.config_set("maxclients", 10_000)
    hogs = [Redis.from_url(bus.url, single_connection_client=True) for _ in range(3)]

    async def fill() -> None:
        for hog in hogs:
            await hog.ping()
        await holder.config_set("maxclients", len(hogs) + 1)
        await holder.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        for client in await holder.client_list(_type="normal"):
            if client["addr"].rpartition(":")[2] not in {str(port) for port in await _ports(hogs, holder)}:
                await holder.execute_command("CLIENT", "KILL", "ID", client["id"])

    async def free() -> None:
        await holder.config_set("maxclients", 10_000)

    try:
        # Services cannot connect either: their silence is the bus's.
        await endure(world, fill, free, "closed", "full")
        assert failures(await world.samples())["full"] >= 1
    finally:
        for client in (*hogs, holder):
            await client.aclose()


async def _ports(hogs: list[Redis], holder: Redis) -> list[int]:
    infos = [await one.client_info() for one in (*hogs, holder)]
    return [int(str(info["addr"]).rpartition(":")[2]) for info in infos]


async def test_the_bus_s_name_resolves_no_more(redis_server, trouble, tmp_path) -> None:
    bus = await redis_server()
    world = await trouble(bus.url, through=f"redis://bus.example:{bus.port}")
    gone = tmp_path / "gone"

    async def take_away() -> None:
        gone.touch()
        await admin(bus.url, "CLIENT", "KILL", "TYPE", "pubsub")()

    async def put_back() -> None:
        gone.unlink()

    await endure(world, take_away, put_back, "closed", "dns")
    assert failures(await world.samples())["dns"] >= 1


async def test_the_bus_dies_and_comes_back(redis_server, trouble) -> None:
    bus = await redis_server()
    world = await trouble(bus.url, proxied=False)
    await endure(world, bus.kill, bus.restart, "closed", "unreachable")


async def test_a_sentinel_s_failover_to_a_master_that_services_follow(
    servers, ports, tmp_path, trouble
) -> None:
    async with redises.sentinels(servers, tmp_path, ports) as (url, (first, second), _):
        world = await trouble(first.url, through=url, proxied=False)

        async def follow() -> None:
            """Services go where Sentinel says, once it says so."""
            await redises.until_found(lambda: _master(url), second.port)
            world.url = second.url

        following = asyncio.create_task(follow())
        await endure(world, first.kill, _done(following), "closed", "unreachable", "moved", "deaf", lasts=0)


def _done(task: asyncio.Task[None]) -> Callable[[], Awaitable[object]]:
    async def wait() -> None:
        await asyncio.wait_for(task, 15)

    return wait


async def _master(url: str) -> int:
    from healer.runtime.place import primary

    try:
        return int((await primary(url, "")).rstrip("/").rpartition(":")[2])
    except (RedisError, OSError):
        return 0
