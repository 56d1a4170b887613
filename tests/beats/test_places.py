"""Every kind of Redis that a URL can name, each a real server: TLS, ACL users, sockets, Sentinels, clusters."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import trustme
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from tests import redises
from tests.patience import until

from healer.beats.board import Slot
from healer.beats.cadence import cadence
from healer.beats.faults import Reason
from healer.runtime.place import by_slot, client, locate, place_of, primary
from healer.truth.model import Service, Source
from healer.truth.store import fetch, replace

from .conftest import service

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("mesh", "massive", "vexy_ai", "rss_agg")


async def heard(ears, publish: Callable) -> None:
    """Publish a beat of each service and wait until all are heard."""
    await until(lambda: ears.listener.up and all(slot.since for slot in ears.slots.values()))
    before = {slot.name: slot.beats for slot in ears.slots.values()}
    for channel in ears.slots:
        await publish(channel, "{}")
    await until(lambda: all(slot.beats == before[slot.name] + 1 for slot in ears.slots.values()))


async def test_over_tls_with_an_acl_user(servers, ports, tmp_path, listening) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    port = ports.take()
    server = redises.server(
        *(servers, tmp_path, ports.take(), "tls", "--tls-port", str(port)),
        *("--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem")),
        *("--tls-ca-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no"),
    )
    await server.start()
    await server.wait_ready()
    try:
        async with Redis.from_url(server.url) as redis:
            rules = ">p@ss/word", "resetchannels", "&*:heartbeat", "+subscribe", "+unsubscribe", "+publish"
            await redis.execute_command("ACL", "SETUSER", "healer", "on", *rules)
            url = f"rediss://healer:p%40ss%2Fword@localhost:{port}"
            ears = await listening(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}", service("mesh"))
            await heard(ears, redis.publish)
        distrustful = await listening(url, service("mesh"))
        await until(lambda: distrustful.listener.faults.counts[Reason.TLS])
        assert not distrustful.listener.up
    finally:
        await server.kill()


async def test_over_a_unix_socket(servers, ports, tmp_path, listening) -> None:
    path = tmp_path / "redis.sock"
    server = redises.server(servers, tmp_path, ports.take(), "socket", "--unixsocket", str(path))
    await server.start()
    await server.wait_ready()
    try:
        ears = await listening(
            f"unix://{path}", service("mesh"), Service("k", "test", "k", 0.2, 1.0, Source.KEY)
        )
        await until(lambda: ears.listener.up and all(slot.since for slot in ears.slots.values()))
        async with Redis.from_url(server.url) as redis:
            await redis.publish("mesh:heartbeat", "{}")
            await redis.set("k", "1", ex=5)
        await until(lambda: all(slot.beats == 1 for slot in ears.slots.values()))
    finally:
        await server.kill()


async def test_on_a_cluster_by_messages_by_shards_and_by_keys(servers, ports, tmp_path, listening) -> None:
    async with redises.cluster(servers, tmp_path, ports) as nodes:
        url = redises.cluster_url(nodes[1:])
        assert len(await locate(url)) == 3
        services = [service(name) for name in NAMES]
        keys = [Service(f"k{name}", "test", f"{name}:key", 0.2, 1.0, Source.KEY) for name in NAMES]
        plain = await listening(url, *services, *keys)
        sharded = await listening(f"{url}?sharded=true", *services, *keys)
        await until(lambda: plain.listener.up and sharded.listener.up)
        everything = [*plain.slots.values(), *sharded.slots.values()]
        await until(lambda: all(slot.since for slot in everything))
        assert len(sharded.listener._shards) == 3
        async with RedisCluster.from_url(nodes[0].url) as redis:
            for name in NAMES:
                await redis.execute_command(
                    "PUBLISH", f"{name}:heartbeat", "{}", target_nodes=RedisCluster.RANDOM
                )
                await redis.execute_command("SPUBLISH", f"{name}:heartbeat", "{}")
                await redis.set(f"{name}:key", "1", ex=5)
        await until(lambda: all(slot.beats == 1 for slot in everything))
        assert plain.listener.loopback is not None
        assert sharded.listener.loopback is not None
        # The truth goes where the cluster wants its key.
        await replace(url, "truth:doc", b"{}")
        assert await fetch(url, "truth:doc") == b"{}"
        # A service that leaves and one that comes, on their shards.
        sharded.assign(*services[1:], service("new"))
        await until(lambda: sharded.slot("new").since is not None)
        async with Redis.from_url(await primary(url, "mesh:heartbeat")) as redis:
            answer = await redis.execute_command("PUBSUB", "SHARDNUMSUB", "mesh:heartbeat")
        assert answer[1] == 0
        # A shard that cannot be reached: nobody knows what is published through it.
        await nodes[2].pause()
        took = await until(lambda: not plain.listener.up and not sharded.listener.up)
        assert took < services[0].timeout
        await until(lambda: all(slot.since is None for slot in plain.slots.values()), 0.5)
        await nodes[2].resume()
        await until(lambda: plain.listener.up and sharded.listener.up)


async def test_a_slot_that_moves_is_followed(servers, ports, tmp_path, listening) -> None:
    async with redises.cluster(servers, tmp_path, ports) as nodes:
        url = redises.cluster_url(nodes)
        ears = await listening(f"{url}?sharded=true", service("mesh"))
        await until(lambda: ears.listener.up and ears.slot("mesh").since)
        at = await primary(url, "mesh:heartbeat")
        source = next(node for node in nodes if str(node.port) in at)
        target = next(node for node in nodes if node is not source)
        async with Redis.from_url(target.url) as there, Redis.from_url(source.url) as here:
            slot = await here.execute_command("CLUSTER", "KEYSLOT", "mesh:heartbeat")
            target_id, source_id = [await each.execute_command("CLUSTER", "MYID") for each in (there, here)]
            # A target that does not import makes no new epoch of it, and the third node may never believe it.
            await there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            await here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            for redis in (there, here):
                await redis.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
            await until(lambda: len(ears.listener._shards) == 3 and str(target.port) in _of(ears))
            await until(lambda: ears.listener.up and ears.slot("mesh").since)
            await there.execute_command("SPUBLISH", "mesh:heartbeat", "{}")
        await until(lambda: ears.slot("mesh").beats == 1)


def _of(ears) -> str:
    shards = ears.listener._shards.values()
    return next((node.url for node, _, _ in shards if node.serves("mesh:heartbeat")), "")


@pytest.mark.faults
async def test_a_sentinel_s_master_is_found_and_its_failover_followed(
    servers, ports, tmp_path, listening
) -> None:
    async with redises.sentinels(servers, tmp_path, ports) as (url, (first, second), guards):
        assert (await primary(url, "x")).endswith(f":{first.port}/")
        await guards[0].kill()  # the first that is named may be the one that is gone
        ears = await listening(url, service("mesh"))
        async with Redis.from_url(first.url) as redis:
            await heard(ears, redis.publish)
        async with client(url, socket_timeout=2) as redis:
            await redis.set("a", 1)
        since = ears.slot("mesh").since
        async with Redis.from_url(guards[1].url, protocol=2) as redis:
            await redis.execute_command("SENTINEL", "FAILOVER", "mymaster")
        await until(lambda: ears.listener.reconnects and ears.listener.up)
        await until(lambda: _role(ears) == second.port)
        await until(lambda: ears.listener.up and ears.slot("mesh").since)
        assert ears.slot("mesh").since > since
        async with Redis.from_url(second.url) as redis:
            await heard(ears, redis.publish)
        async with client(url, socket_timeout=2) as redis:
            await redis.set("a", 2)
        assert ears.listener.faults.counts[Reason.MOVED] + ears.listener.faults.counts[Reason.CLOSED] >= 1


def _role(ears) -> int:
    return int(ears.listener.nodes[0].url.rstrip("/").rpartition(":")[2])


@pytest.mark.parametrize(
    ("url", "kind", "sharded"),
    [
        ("redis://h", "redis", False),
        ("rediss://h", "redis", False),
        ("unix:///s", "unix", False),
        ("redis+sentinel://h/m", "sentinel", False),
        ("redis+cluster://h?sharded=true", "cluster", True),
        ("redis+cluster://h?sharded=no", "cluster", False),
    ],
)
def test_a_url_says_what_kind_of_place_it_is(url, kind, sharded) -> None:
    assert (place_of(url).kind, place_of(url).sharded) == (kind, sharded)


def test_keys_are_grouped_by_slot() -> None:
    groups = by_slot(["a{x}", "b{x}", "c{y}"])
    assert sorted(map(sorted, groups)) == [["a{x}", "b{x}"], ["c{y}"]]


async def test_a_place_that_nobody_knows_is_an_error_that_says_so(listening, free_port) -> None:
    ears = await listening(f"redis+cluster://127.0.0.1:{free_port}", service("mesh"))
    shards = await listening(f"redis+cluster://127.0.0.1:{free_port}?sharded=true", service("mesh"))
    await until(lambda: ears.listener.faults.counts[Reason.UNREACHABLE])
    await until(lambda: shards.listener.faults.counts[Reason.UNREACHABLE])
    assert not ears.listener.up
    assert not shards.listener.up
    slots = {"mesh:heartbeat": Slot(service("mesh"))}
    shards.listener.assign(slots, cadence([service("mesh")], 0.2))
    await asyncio.sleep(0)
    assert slots["mesh:heartbeat"].since is None
