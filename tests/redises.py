"""Redis servers in company: a cluster, a master with a replica and Sentinels, and one that speaks TLS."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from tests.patience import PATIENCE

from healer.stack.ports import LOOPBACK
from healer.stack.probes import redis_pong
from healer.stack.process import Command
from healer.stack.stack import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

NODE_TIMEOUT = 1000
"""Milliseconds after which a node of a cluster that does not answer is taken for dead."""


def server(servers: Servers, folder: Path, port: int, name: str, *options: str) -> Server:
    """Return a redis-server with more options than `stack.redis` has; it answers in the clear."""
    data = folder / name
    data.mkdir(parents=True, exist_ok=True)
    program = servers.redis_server
    argv = (
        *(program.path, "--port", str(port), "--bind", LOOPBACK, "--dir", data, "--save", ""),
        *("--repl-diskless-sync-delay", "0", *options),
    )
    return Server(Command(name, argv, redis_pong(port), program.environment), folder, port, scheme="redis")


async def until(url: str, command: str, *words: str, seconds: float = PATIENCE) -> None:
    """Ask a server until its answer holds one of the words."""
    async with asyncio.timeout(seconds), Redis.from_url(url, protocol=2, decode_responses=True) as redis:
        redis.response_callbacks.clear()
        answer = ""
        while not any(word in answer for word in words):
            await asyncio.sleep(0.02)
            answer = str(await redis.execute_command(*command.split()))


@asynccontextmanager
async def cluster(
    servers: Servers, folder: Path, ports: Ports, *, replicas: bool = False
) -> AsyncIterator[list[Server]]:
    """Yield the three masters of a cluster, then, if wanted, a replica of each."""
    count = 6 if replicas else 3
    nodes = [
        server(
            *(servers, folder, ports.take(), f"node-{number}", "--cluster-enabled", "yes"),
            *("--cluster-port", str(ports.take()), "--cluster-node-timeout", str(NODE_TIMEOUT)),
            *("--cluster-require-full-coverage", "no", "--cluster-allow-replica-migration", "no"),
        )
        for number in range(count)
    ]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        await asyncio.gather(*(node.wait_ready() for node in nodes))
        await _join(nodes)
        yield nodes
    finally:
        await asyncio.gather(*(node.kill() for node in nodes))


async def _join(nodes: list[Server]) -> None:
    clients = [Redis.from_url(node.url, protocol=2, decode_responses=True) for node in nodes]
    bounds = [0, 5461, 10923, 16384]
    for number, client in enumerate(clients):
        await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        if number < 3:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
    for node in nodes[1:]:
        argv = node.command.argv
        bus = argv[list(argv).index("--cluster-port") + 1]
        await clients[0].execute_command("CLUSTER", "MEET", LOOPBACK, node.port, bus)
    for node in nodes:
        await until(node.url, "CLUSTER INFO", f"cluster_known_nodes:{len(nodes)}")
    if len(nodes) > 3:
        for number in range(3, len(nodes)):
            master = await clients[number - 3].execute_command("CLUSTER", "MYID")
            await _replicate(clients[number], master)
        for node in nodes[3:]:
            await until(node.url, "INFO replication", "master_link_status:up")
    for node in nodes:
        await until(node.url, "CLUSTER INFO", "cluster_state:ok")
    for client in clients:
        await client.aclose()


async def _replicate(client: Redis, master: str) -> None:
    for _ in range(100):
        try:
            await client.execute_command("CLUSTER", "REPLICATE", master)
        except Exception:  # noqa: BLE001  # it has not heard of that master yet
            await asyncio.sleep(0.1)
        else:
            return


def cluster_url(nodes: list[Server], options: str = "") -> str:
    return f"redis+cluster://{','.join(node.address for node in nodes)}{options}"


@asynccontextmanager
async def sentinels(
    servers: Servers, folder: Path, ports: Ports, *, down_after: int = 500
) -> AsyncIterator[tuple[str, list[Server], list[Server]]]:
    """Yield the URL, master and replica, and three Sentinels that agree on the master `mymaster`."""
    first, second, *watchers = (ports.take() for _ in range(5))
    pair = [
        server(servers, folder, first, "first"),
        server(servers, folder, second, "second", "--replicaof", LOOPBACK, str(first)),
    ]
    guards = []
    for number, port in enumerate(watchers):
        config = folder / f"sentinel-{number}.conf"
        config.write_text(
            f"port {port}\nbind {LOOPBACK}\nsentinel monitor mymaster {LOOPBACK} {first} 2\n"
            f"sentinel down-after-milliseconds mymaster {down_after}\nsentinel failover-timeout mymaster 3000\n"
        )
        program = servers.redis_server
        argv = (program.path, config, "--sentinel")
        guards.append(
            Server(
                Command(f"sentinel-{number}", argv, redis_pong(port), program.environment),
                folder,
                port,
                scheme="redis",
            )
        )
    try:
        for one in pair:
            await one.start()
            await one.wait_ready()
        await until(pair[1].url, "INFO replication", "master_link_status:up")
        await asyncio.gather(*(guard.start() for guard in guards))
        await asyncio.gather(*(guard.wait_ready() for guard in guards))
        for guard in guards:
            await until(guard.url, "INFO sentinel", "slaves=1,sentinels=3")
        yield f"redis+sentinel://{','.join(guard.address for guard in guards)}/mymaster", pair, guards
    finally:
        await asyncio.gather(*(one.kill() for one in (*pair, *guards)))


async def until_found(look: Callable[[], Awaitable[int]], wanted: int, seconds: float = PATIENCE) -> None:
    """Look until what is wanted is found."""
    async with asyncio.timeout(seconds):
        found = None
        while found != wanted:
            await asyncio.sleep(0.05)
            found = await look()
