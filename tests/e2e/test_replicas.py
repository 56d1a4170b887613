"""Two of everything on one Redis: any one of them killed at any time, and each event still comes once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.e2e.pairs import TIMEOUT, heard, pairs

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

PATIENCE_SECONDS = 60.0
"""A recovery without proof, as a busy machine makes one, is held back for half a minute."""


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("one", ["a", "b"])
async def test_each_of_a_pair_is_killed_and_every_event_comes_once(
    servers: Servers, ports: Ports, tmp_path: Path, redis_server, one: str
) -> None:
    bus = await redis_server(keep=True)
    async with pairs(servers, ports, tmp_path, bus.url) as world:
        await asyncio.sleep(TIMEOUT)
        begun = world.events.mark()
        expected: list[tuple[str, str]] = []
        for kind in ("exporter", "prometheus", "alertmanager", "sentinel"):
            victim = world.servers[f"{kind}-{one}"]
            # Killed in the moment of the death, and back only after the return.
            await victim.kill()
            world.alive.discard("rss_agg")
            expected.append(("heartbeat_miss", "rss_agg"))
            await world.events.wait(
                "heartbeat_miss", "rss_agg", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            world.alive.add("rss_agg")
            expected.append(("heartbeat_ok", "rss_agg"))
            await world.events.wait(
                "heartbeat_ok", "rss_agg", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            # Back while a service is dead: neither forgotten nor said again.
            world.alive.discard("mesh")
            expected.append(("heartbeat_miss", "mesh"))
            await world.events.wait(
                "heartbeat_miss", "mesh", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            await victim.restart()
            await heard(world)
            await asyncio.sleep(3.0)
            world.alive.add("mesh")
            expected.append(("heartbeat_ok", "mesh"))
            await world.events.wait(
                "heartbeat_ok", "mesh", within=PATIENCE_SECONDS, since=begun + len(expected) - 1
            )
            await asyncio.sleep(2.0)
            assert world.told()[begun:] == expected, f"after {kind}-{one}"
