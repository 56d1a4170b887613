"""What can happen to a bus, to be begun and ended while beats go on; the kinds of tests/faults, for a soak."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.flood import Flood
    from tests.beats.proxy import Proxy

    from healer.stack.stack import Server


@dataclass
class Troubled:
    """What trouble is made with, and what takes it away again."""

    bus: Server
    proxy: Proxy
    exporter: Server
    flood: Flood
    cures: list[Callable[[], Awaitable[object]]] = field(default_factory=list)

    async def end(self) -> None:
        """Take the trouble away."""
        for cure in self.cures:
            await cure()

    async def tell(self, *command: str | int, password: str | None = None) -> object:
        """Send the bus a command; what it answers, or that it does not, is its own affair."""
        with contextlib.suppress(RedisError, OSError):
            async with Redis.from_url(self.bus.url, password=password) as redis:
                return await redis.execute_command(*command)
        return None


async def packets_dropped(world: Troubled) -> None:
    """Connections stay open and carry nothing; new ones are taken and carry nothing."""
    world.proxy.swallow = True
    world.cures.append(lambda: _set(world.proxy, "swallow"))


async def half_open(world: Troubled) -> None:
    """What is connected hears nothing any more; new connections work."""
    world.proxy.silence()


async def answers_but_delivers_nothing(world: Troubled) -> None:
    """Everything works but what subscriptions are for."""
    world.proxy.no_messages = True
    world.cures.append(lambda: _set(world.proxy, "no_messages"))


async def client_kill(world: Troubled) -> None:
    """The subscriber is thrown out."""
    await world.tell("CLIENT", "KILL", "TYPE", "pubsub")


async def client_pause(world: Troubled) -> None:
    """No command is carried out for a while."""
    await world.tell("CLIENT", "PAUSE", 12_000, "ALL")


async def debug_sleep(world: Troubled) -> None:
    """The server stands still."""
    asleep = asyncio.create_task(world.tell("DEBUG", "SLEEP", 12))
    world.cures.append(lambda: asleep)


async def reader_stands_still(world: Troubled) -> None:
    """The exporter is stopped until Redis gives it up for its output buffer."""
    await world.exporter.pause()
    world.cures.append(world.exporter.resume)


async def wrong_password(world: Troubled) -> None:
    """The exporter's password is changed, and it is thrown out."""
    await world.tell("ACL", "SETUSER", "healer", "resetpass", ">changed")
    await world.tell("CLIENT", "KILL", "TYPE", "pubsub")
    world.cures.append(lambda: world.tell("ACL", "SETUSER", "healer", "resetpass", ">pw"))


async def noperm_to_subscribe(world: Troubled) -> None:
    """The exporter may not read the channels; Redis throws it out for that."""
    await world.tell("ACL", "SETUSER", "healer", "resetchannels", "&other:*")
    world.cures.append(lambda: world.tell("ACL", "SETUSER", "healer", "allchannels"))


async def noperm_to_publish(world: Troubled) -> None:
    """The exporter may not publish its own beat."""
    await world.tell("ACL", "SETUSER", "healer", "-publish")
    world.cures.append(lambda: world.tell("ACL", "SETUSER", "healer", "+publish"))


async def maxclients(world: Troubled) -> None:
    """The server takes no more clients, after it threw the subscriber out."""
    holder = Redis.from_url(world.bus.url, single_connection_client=True)
    await holder.ping()
    await holder.config_set("maxclients", 1)
    await holder.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await holder.execute_command("CLIENT", "KILL", "USER", "healer")

    async def free() -> None:
        await holder.config_set("maxclients", 10_000)
        await holder.aclose()

    world.cures.append(free)


async def killed_and_started_again(world: Troubled) -> None:
    """The server is gone for a while."""
    await world.bus.kill()
    world.cures.append(world.bus.restart)


async def _set(proxy: Proxy, flag: str) -> None:
    setattr(proxy, flag, False)


TROUBLES = (
    packets_dropped,
    client_kill,
    reader_stands_still,
    killed_and_started_again,
    half_open,
    wrong_password,
    client_pause,
    noperm_to_subscribe,
    answers_but_delivers_nothing,
    maxclients,
    debug_sleep,
    noperm_to_publish,
)
