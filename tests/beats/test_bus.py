"""The listener on a real bus: it hears, it knows when it does not, and it comes back."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import InvalidResponse, RedisError
from tests.patience import stopwatch, until

from healer.beats.board import Slot
from healer.beats.bus import BusListener
from healer.beats.cadence import Cadence, cadence
from healer.beats.decode import MAX_BYTES, Invalid
from healer.beats.pulse import Identity
from healer.runtime.clock import SystemClock
from healer.truth.model import Bus, Service

from .conftest import service
from .proxy import Proxy

WALL = 1_762_433_458.0


async def publish(url: str, channel: str, *payloads: bytes | str) -> None:
    async with Redis.from_url(url) as redis:
        for payload in payloads:
            await redis.publish(channel, payload)


async def test_a_beat_is_heard_and_redis_counts_the_subscriber(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"), service("massive"))
    await until(lambda: ears.listener.up)
    async with Redis.from_url(server.url) as redis:
        counted = await redis.pubsub_numsub("mesh:heartbeat", "massive:heartbeat", "healer:heartbeat")
    assert [count for _, count in counted] == [1, 1, 1]
    await publish(server.url, "mesh:heartbeat", '{"svc":"mesh","i":1,"ts":1}')
    await until(lambda: ears.slot("mesh").beats == 1)
    assert ears.slot("massive").last is None
    assert ears.slot("massive").since is not None


async def test_messages_that_are_no_beats_are_counted_and_change_nothing_else(
    redis_server, listening
) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    garbage = [b"", b"x" * 10_000_000, b"\xff\xfe", b"[1]", b"NaN", b'{"svc":"massive"}']
    await publish(server.url, "mesh:heartbeat", *garbage)
    slot = ears.slot("mesh")
    await until(lambda: sum(slot.invalid.values()) == len(garbage))
    assert set(slot.invalid) == set(Invalid)
    assert (slot.beats, slot.last, slot.lost, slot.restarts) == (0, None, 0, 0)
    assert ears.listener.up


@pytest.mark.parametrize(
    "reply",
    [5, None, b"message", [], [b"message"], [b"message", [b"mesh:heartbeat"], b"{}"], InvalidResponse("x")],
)
async def test_a_server_that_sends_what_no_redis_does_is_left(redis_server, listening, reply: object) -> None:
    ears = await listening((await redis_server()).url, service("mesh"))
    with pytest.raises(RedisError):
        ears.listener._take(iter([reply]), 1.0, 1.0)


@pytest.mark.parametrize("payload", [5, None, [b"{}"]])
async def test_a_message_without_a_payload_is_no_beat(redis_server, listening, payload: object) -> None:
    ears = await listening((await redis_server()).url, service("mesh"))
    ears.listener._take(iter([[b"message", b"mesh:heartbeat", payload]]), 1.0, 1.0)
    assert ears.slot("mesh").beats == 0


async def test_a_killed_bus_is_down_at_once_and_heard_again_once_it_is_back(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    before = ears.slot("mesh").since
    await server.kill()
    with stopwatch(os.getpid()) as watch:
        await until(lambda: not ears.listener.up)
    assert watch.seconds < 0.5
    assert ears.slot("mesh").since is None
    await server.restart()
    await until(lambda: ears.listener.up)
    assert ears.slot("mesh").since > before
    assert ears.listener.reconnects == 1


async def test_a_bus_that_is_not_there_yet_is_waited_for(redis_server, listening) -> None:
    server = await redis_server()
    await server.kill()
    ears = await listening(server.url, service("mesh"))
    await asyncio.sleep(0.3)  # long enough for some attempts to fail
    assert not ears.listener.up
    await server.restart()
    await until(lambda: ears.listener.up)
    assert ears.listener.reconnects == 0


async def test_a_frozen_bus_is_known_deaf_before_a_service_could_be_missed(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    await server.pause()
    with stopwatch(os.getpid()) as watch:
        await until(lambda: not ears.listener.up)
    assert watch.seconds < service("mesh").timeout
    await until(lambda: ears.slot("mesh").since is None)
    await server.resume()
    await until(lambda: ears.listener.up)


async def test_a_half_open_connection_is_made_anew(redis_server, listening) -> None:
    server = await redis_server()
    async with Proxy(server.port) as proxy:
        ears = await listening(proxy.url, service("mesh"))
        await until(lambda: ears.listener.up)
        proxy.silence()
        with stopwatch(os.getpid()) as watch:
            await until(lambda: not ears.listener.up)
        assert watch.seconds < service("mesh").timeout
        await until(lambda: ears.listener.up)
        await publish(server.url, "mesh:heartbeat", "{}")
        await until(lambda: ears.slot("mesh").beats == 1)


async def test_a_backlog_after_a_stall_is_not_taken_for_fresh_beats(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    with socket.create_connection(("127.0.0.1", server.port)) as publisher:
        publisher.sendall(b"PUBLISH mesh:heartbeat {}\r\n")
        # The whole event loop stands still, longer than the cadence allows, while the beat lies in the socket.
        time.sleep(1.0)  # noqa: ASYNC251
    await until(lambda: ears.listener.reconnects == 1 and ears.listener.up)
    assert ears.slot("mesh").beats == 0


async def test_a_client_kill_is_recovered_from(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    async with Redis.from_url(server.url) as redis:
        await redis.client_kill_filter(_type="pubsub")
    await until(lambda: ears.listener.reconnects == 1)
    await until(lambda: ears.listener.up)


async def test_a_new_assignment_subscribes_the_difference_only(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"), service("massive"))
    await until(lambda: ears.listener.up)
    since = ears.slot("mesh").since
    ears.assign(service("mesh"), service("vexy_ai"))
    await until(lambda: ears.slot("vexy_ai").since is not None)
    assert ears.slot("mesh").since == since
    async with Redis.from_url(server.url) as redis:
        counted = await redis.pubsub_numsub("mesh:heartbeat", "massive:heartbeat", "vexy_ai:heartbeat")
        (subscriber,) = await redis.client_list(_type="pubsub")
    assert [count for _, count in counted] == [1, 0, 1]
    assert subscriber["sub"] == "3"
    assert ears.listener.reconnects == 0


async def test_a_faster_service_on_the_bus_is_no_reason_to_call_it_deaf(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    slow = Service(name="slow", bus="test", channel="slow:heartbeat", interval=10.0, timeout=60.0)
    ears.listener.assign({}, cadence([slow], interval=10.0))
    await until(lambda: ears.listener.up)
    await asyncio.sleep(1.0)  # older by now than the faster rhythm allows
    ears.assign(service("mesh"))
    await until(lambda: ears.slot("mesh").since is not None)
    await asyncio.sleep(1.0)  # time enough to be called deaf
    assert ears.listener.up
    assert ears.listener.reconnects == 0


async def test_a_service_that_is_removed_and_added_at_once_is_watched(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"), service("massive"))
    await until(lambda: ears.listener.up)
    ears.assign(service("massive"))
    ears.assign(service("massive"), service("mesh"))  # before the listener had its turn
    assert ears.slot("mesh").since is None
    await until(lambda: ears.slot("mesh").since is not None)


async def test_a_renamed_service_on_the_same_channel_is_watched_from_now(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    since = ears.slot("mesh").since
    ears.assign(service("mesh2", channel="mesh:heartbeat"))
    assert ears.slot("mesh2").since > since


async def test_a_refused_login_is_said_once_and_without_the_password(redis_server, listening) -> None:
    server = await redis_server()
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("requirepass", "right")
    wrong = server.url.replace("redis://", "redis://:wr0ng-secret@")
    with structlog.testing.capture_logs() as lines:
        ears = await listening(wrong, service("mesh"))
        await asyncio.sleep(1.0)  # several attempts
    assert not ears.listener.up
    (line,) = lines
    assert (line["event"], line["bus"]) == ("cannot hear", "test")
    assert "invalid username-password pair" in line["error"]
    assert "wr0ng-secret" not in str(line)


async def test_another_replica_s_beat_is_no_proof_of_hearing(redis_server, listening) -> None:
    server = await redis_server()
    async with Proxy(server.port) as proxy:
        ears = await listening(proxy.url, service("mesh"))
        await until(lambda: ears.listener.up)
        heard = ears.listener.loopback
        await publish(server.url, "healer:heartbeat", '{"svc":"healer","i":1,"ts":1,"id":"other"}')
        await until(lambda: ears.listener.loopback != heard)
        # Own beats go on; what matters is that a foreign one on a bus that never was up does not raise it.
    async with Redis.from_url(server.url) as redis:
        await redis.execute_command("ACL", "SETUSER", "mute", "on", ">pw", "allchannels", "+@all", "-publish")
    mute = await listening(server.url.replace("redis://", "redis://mute:pw@"), service("mesh"))
    for _ in range(10):
        await publish(server.url, "healer:heartbeat", '{"svc":"healer","i":1,"ts":1,"id":"other"}')
        await asyncio.sleep(0.05)  # a foreign beat every 50 ms, faster than own beats would come
    assert not mute.listener.up


async def test_an_outage_of_hours_is_waited_out(listening, monkeypatch, free_port) -> None:
    attempts = 0
    real_sleep = asyncio.sleep

    async def no_sleep(_: float) -> None:
        nonlocal attempts
        attempts += 1
        await real_sleep(0)

    monkeypatch.setattr("healer.beats.bus.asyncio.sleep", no_sleep)
    ears = await listening(f"redis://127.0.0.1:{free_port}", service("mesh"))
    while attempts < 1100:  # redis-py's backoff overflows at the 1023rd failure
        await real_sleep(0.001)
    assert not ears.listener.up


async def test_what_is_no_redis_is_an_error_and_not_the_end(listening) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(b":1\r\n" * 8)
        writer.close()

    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with structlog.testing.capture_logs() as lines:
        ears = await listening(f"redis://127.0.0.1:{port}", service("mesh"))
        await until(lambda: lines)
    assert not ears.listener.up
    assert lines[0]["event"] == "cannot hear"
    server.close()


async def test_a_listener_that_was_let_go_touches_no_slot(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    ears.listener.let_go()
    slot = ears.slot("mesh")
    slot.listen(123.0)
    ears.listener.close_eyes()
    assert slot.since == 123.0


async def test_after_a_stall_of_ours_it_is_down_before_anybody_looked(redis_server, listening) -> None:
    server = await redis_server()
    ears = await listening(server.url, service("mesh"))
    await until(lambda: ears.listener.up)
    time.sleep(1.0)  # noqa: ASYNC251  # the event loop stands still, and a scrape comes first afterwards
    assert not ears.listener.up
    await until(lambda: ears.listener.up)


@given(
    st.lists(
        st.one_of(
            st.fixed_dictionaries(
                {},
                optional={
                    "svc": st.sampled_from(["mesh", "mesh", "mesh", "massive", None, 5]),
                    "service": st.sampled_from(["mesh", "massive"]),
                    "i": st.one_of(st.integers(0, 4), st.sampled_from([None, "2", 1.5, -1, 2**64, 10**400])),
                    "ts": st.sampled_from([WALL, None, "now"]),
                },
            ).map(lambda beat: json.dumps(beat).encode()),
            st.integers(0, 6).map(lambda i: b'{"svc":"mesh","i":%d,"ts":1762433458}' % i),
            st.sampled_from([b"", b"[]", b"\xff", b"{" + b" " * MAX_BYTES + b"}"]),
        ),
        max_size=12,
    )
)
def test_beats_that_stream_in_are_heard_as_each_by_itself(payloads: list[bytes]) -> None:
    mesh = service("mesh")
    listener = BusListener(Bus("test", "redis://127.0.0.1"), Identity("healer", "own", "r"), SystemClock())
    streamed, single = Slot(mesh), Slot(mesh)
    listener.assign({mesh.channel: streamed}, Cadence(1.0, 2.0))
    listener._take(([b"message", b"mesh:heartbeat", each] for each in payloads), 100.0, WALL + 2)
    reasons = [single.hear(each, 100.0, WALL + 2) for each in payloads]
    assert streamed.beats == reasons.count(None)
    assert [getattr(streamed, name) for name in Slot.__slots__] == [
        getattr(single, name) for name in Slot.__slots__
    ]
