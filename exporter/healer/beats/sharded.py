"""A Redis Cluster whose beats are sharded messages: each shard is listened to, and proven, by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from healer.beats.bus import COMPLAINT_SECONDS, FOLLOW_SECONDS, SHARDED, BusListener
from healer.beats.cadence import Cadence
from healer.beats.faults import Faults
from healer.runtime.log import Throttle
from healer.runtime.place import locate, tagged
from healer.runtime.redact import safe_url
from healer.runtime.tasks import end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.beats.board import Slot
    from healer.beats.pulse import Identity
    from healer.runtime.clock import Clock
    from healer.runtime.place import Node
    from healer.truth.model import Bus


class ShardedListener:
    """One listener for each master of the cluster; a `healer.beats.source.Source`.

    A service is watched by the listener of the shard that serves its channel. When the shards change, services
    change hands and are watched from then on.
    """

    def __init__(self, bus: Bus, identity: Identity, clock: Clock) -> None:
        self.bus = bus
        self.identity = identity
        self.active = clock.monotonic()
        self.faults = Faults()
        self._clock = clock
        self._slots: dict[str, Slot] = {}
        self._cadence = Cadence(1.0, 2.0)
        self._shards: dict[str, tuple[Node, BusListener, asyncio.Task[None]]] = {}
        self._throttle = Throttle(clock, COMPLAINT_SECONDS)
        self._past_reconnects = 0
        self._log = structlog.get_logger(component="bus", bus=bus.name, url=safe_url(bus.url))

    @property
    def up(self) -> bool:
        """Whether every shard is heard: half a bus would make the silent half look dead."""
        return bool(self._shards) and all(listener.up for _, listener, _ in self._shards.values())

    @property
    def reconnects(self) -> int:
        """Connections made after the first of each shard."""
        return self._past_reconnects + sum(listener.reconnects for _, listener, _ in self._shards.values())

    @property
    def loopback(self) -> float | None:
        """When the own beat was last heard back from the shard that is furthest behind."""
        stamps = [listener.loopback for _, listener, _ in self._shards.values()]
        known = [stamp for stamp in stamps if stamp is not None]
        return min(known) if known and len(known) == len(stamps) else None

    def assign(self, slots: Mapping[str, Slot], cadence: Cadence) -> None:
        """Listen to exactly the channels of `slots`, by channel."""
        self._slots, self._cadence = dict(slots), cadence
        self._share_out()

    async def run(self) -> None:
        """Keep one listener for each master until cancelled."""
        try:
            while True:
                try:
                    nodes = await locate(self.bus.url)
                except (RedisError, OSError, UnicodeError) as error:
                    reason = self.faults.note(error)
                    if self._throttle.admit("away") is not None:
                        self._log.warning("cluster does not say what it is", reason=reason, error=str(error))
                else:
                    self._follow(nodes)
                self.active = self._clock.monotonic()
                self._raise_what_ended()
                await asyncio.sleep(FOLLOW_SECONDS)
        finally:
            await end([task for _, _, task in self._shards.values()])

    def let_go(self) -> None:
        """Leave the slots to another source."""
        self._slots = {}
        for _, listener, _ in self._shards.values():
            listener.let_go()

    def _follow(self, nodes: tuple[Node, ...]) -> None:
        """Have listeners for exactly these masters."""
        if [node for node, _, _ in self._shards.values()] == list(nodes):
            return
        wanted = {node.url: node for node in nodes}
        for url, (node, listener, task) in list(self._shards.items()):
            if wanted.get(url) != node:
                listener.let_go()
                self._past_reconnects += listener.reconnects + 1
                task.cancel()
                del self._shards[url]
        for url, node in wanted.items():
            if url not in self._shards:
                self._shards[url] = self._start(node)
        self._shards = {url: self._shards[url] for url in wanted}
        self._share_out()

    def _start(self, node: Node) -> tuple[Node, BusListener, asyncio.Task[None]]:
        async def here() -> tuple[Node, ...]:
            return (node,)

        identity = replace(self.identity, channel=tagged(self.identity.channel, node))
        bus = replace(self.bus, url=node.url)
        listener = BusListener(bus, identity, self._clock, dialect=SHARDED, nodes=here)
        listener.faults = self.faults
        return node, listener, asyncio.create_task(listener.run(), name=f"shard {safe_url(node.url)}")

    def _share_out(self) -> None:
        for node, listener, _ in self._shards.values():
            own = {channel: slot for channel, slot in self._slots.items() if node.serves(channel)}
            listener.assign(own, self._cadence)

    def _raise_what_ended(self) -> None:
        for _, _, task in self._shards.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
