"""A healer as one would write it by hand: one asyncio loop that hears beats and checks every second.

It is what the benchmarks measure against and what `healer shadow` is tested beside, and does what the healers that came
before this project did: the same wiring, the same events, all of its memory in the process.

    python bench/handwritten.py REDIS_URL CHANNEL TRUTH.json
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

CHECK_SECONDS = 1.0


class Healer:
    """What was heard of whom, and who was reported."""

    def __init__(self, url: str, channel: str, document: dict[str, Any]) -> None:
        self.redis = Redis.from_url(url)
        self.channel = channel
        services = document["services"]
        watched = services["healer"]["access_points"]["subscribe_to"]
        beats = {entry["key"]: services[entry["key"].partition(":")[0]]["heartbeat"] for entry in watched}
        self.names = {channel: channel.partition(":")[0] for channel in beats}
        self.timeouts = {self.names[channel]: beat["timeout_sec"] for channel, beat in beats.items()}
        self.warmups = {
            self.names[channel]: min(
                beat["timeout_sec"], max(2 * beat["interval_sec"], 0.75 * beat["timeout_sec"])
            )
            for channel, beat in beats.items()
        }
        self.begun = time.time()
        self.seen: dict[str, float] = {}
        self.missing: set[str] = set()

    async def tell(self, kind: str, svc: str, **more: float) -> None:
        """Publish an event, and keep it."""
        event = json.dumps({"type": kind, "svc": svc, **more, "ts": int(time.time())})
        await self.redis.publish(self.channel, event)
        await self.redis.set(f"health:{svc}", event)

    async def listen(self) -> None:
        """Hear beats."""
        async with self.redis.pubsub() as pubsub:
            await pubsub.subscribe(*self.names)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    svc, now = self.names[message["channel"].decode()], time.time()
                    if svc in self.missing:
                        self.missing.remove(svc)
                        await self.tell("heartbeat_ok", svc, age_sec=0.0)
                    self.seen[svc] = now

    async def check(self) -> None:
        """Look who is late."""
        while True:
            now = time.time()
            for svc, timeout in self.timeouts.items():
                late = now - self.seen.get(svc, self.begun)
                due = timeout if svc in self.seen else self.warmups[svc]
                if late > due and svc not in self.missing:
                    self.missing.add(svc)
                    await self.tell("heartbeat_miss", svc, late_sec=round(late, 1), timeout_sec=timeout)
            await asyncio.sleep(CHECK_SECONDS)


async def main(url: str, channel: str, document: dict[str, Any]) -> None:
    healer = Healer(url, channel, document)
    await asyncio.gather(healer.listen(), healer.check())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text())))
