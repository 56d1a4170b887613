"""Every panel has data on a running stack in which services are missing, return, and are healed.

That of hosts has its turn on a host to which things are done, in tests/machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from redis.asyncio import Redis
from tests.autoheal.conftest import TOKEN, policy
from tests.dashboards.conftest import RULES, USUAL, Asked, asked
from tests.dashboards.test_queries import selectors

from healer.demo import truth
from healer.demo.world import BRISK, World
from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers

STEP_SECONDS = 5
RANGE_SECONDS = 60
PATIENCE_SECONDS = 40.0
TIMES = {"__interval": "5s", "__interval_ms": "5000", "__rate_interval": "6s", "__range": f"{RANGE_SECONDS}s"}
VALUES = USUAL | TIMES
MISSED = {"mesh", "massive"}

NOT_HERE = ("notifications_failed_total",)
"""What happens only where something is broken that is whole here."""


@contextlib.asynccontextmanager
async def healing(ports: Ports, folder: Path) -> AsyncIterator[stack.Server]:
    """An autoheal that does nothing, successfully."""
    (folder / "policy.yml").write_text(policy(["/bin/true", "{svc}"], verify_for_sec=60))
    tokens = folder / "tokens"
    tokens.write_text(f"operator {TOKEN}\n")
    tokens.chmod(0o600)
    environment = {
        "AUTOHEAL_ENABLED": "true",
        "AUTOHEAL_DRY_RUN": "false",
        "AUTOHEAL_AUDIT_PATH": str(folder / "audit.jsonl"),
        "AUTOHEAL_TOKEN_FILE": str(tokens),
    }
    server = stack.healer(
        "autoheal", folder, ports.take(), environment, options=["--config", folder / "policy.yml"]
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def hasten(world: World, session: aiohttp.ClientSession) -> None:
    """Evaluate in a second what is evaluated in minutes or hours in earnest."""
    for path in (world.directory / "bundle/rules").iterdir():
        text = path.read_text()
        for interval in ("15s", "1m", "4m", "1h"):
            text = text.replace(f"    interval: {interval}\n", "    interval: 1s\n")
        path.write_text(text)
    async with session.post(f"{world.prometheus.url}/-/reload") as answer:
        assert answer.status == 200, await answer.text()


async def disturb(world: World, svc: str) -> None:
    """Have beats lost, the publisher begin anew, and something come that is no beat."""
    async with Redis.from_url(world.redis["system-redis"].url) as bus:
        await bus.publish(f"{svc}:heartbeat", json.dumps({"svc": svc, "i": 10_000, "ts": time.time()}))
        await bus.publish(f"{svc}:heartbeat", "no beat")


def here() -> list[Asked]:
    """Return the queries of all dashboards but that of hosts, of which there is none in this run."""
    return [query for query in asked(VALUES) if query.board != "hosts"]


async def answer_to(query: Asked, world: World, session: aiohttp.ClientSession) -> list[Any]:
    now = time.time()
    given: dict[str, str] = {"query": query.expression, "time": str(now)}
    if not query.instant:
        given |= {"start": str(now - RANGE_SECONDS), "end": str(now), "step": str(STEP_SECONDS)}
    path = "query" if query.instant else "query_range"
    async with session.post(f"{world.prometheus.url}/api/v1/{path}", data=given) as answer:
        said = await answer.json()
    assert said["status"] == "success", (query, said)
    result: list[Any] = said["data"]["result"]
    return result


async def without_data(world: World, session: aiohttp.ClientSession) -> list[Asked]:
    return [
        query
        for query in here()
        if not await answer_to(query, world, session)
        and query.kind != "annotation"
        and not any(name in query.expression for name in NOT_HERE)
    ]


async def known(world: World, session: aiohttp.ClientSession) -> set[str]:
    """Return the names of all series that there are: what the processes of this run expose, and what the rules record."""
    async with session.get(f"{world.prometheus.url}/api/v1/label/__name__/values") as answer:
        return set((await answer.json())["data"])


def named() -> set[str]:
    """Return the names of all series that dashboards and rules ask for."""
    texts = [query.expression for query in here()] + [rule["expr"] for rule in RULES]
    return {each.name for text in texts for each in selectors(text) if each.name}


@pytest.mark.timeout(240)
async def test_every_query_of_every_panel_has_an_answer(
    servers: Servers, ports: Ports, tmp_path: Path
) -> None:
    heal = tmp_path / "heal"
    heal.mkdir()
    (heal / "token").write_text(TOKEN)
    async with healing(ports, heal) as autoheal, aiohttp.ClientSession() as session:
        pace = replace(BRISK, autoheals=(autoheal.address,), autoheal_credentials=str(heal / "token"))
        async with World.start(servers, truth.document(), tmp_path, pace=pace, silent=["mesh"]) as world:
            await hasten(world, session)
            for svc in ("massive", "rss_agg"):
                await world.services[svc].kill()
                await world.events.wait("heartbeat_miss", svc, within=PATIENCE_SECONDS)
            await world.services["rss_agg"].restart()
            await world.events.wait("heartbeat_ok", "rss_agg", within=PATIENCE_SECONDS)
            await disturb(world, "rss_agg")
            begun = time.monotonic()
            while lacking := await without_data(world, session):
                assert time.monotonic() - begun < PATIENCE_SECONDS, lacking
                await asyncio.sleep(1)
            (misses,) = [
                each for each in asked(VALUES) if (each.panel, each.board) == ("Misses", "heartbeats")
            ]
            begun = time.monotonic()
            while not {each["metric"]["svc"] for each in await answer_to(misses, world, session)} >= MISSED:
                assert time.monotonic() - begun < PATIENCE_SECONDS
                await asyncio.sleep(1)
            await world.exporter.restart()  # until it has watched for their warm-ups, services are unwatched
            begun = time.monotonic()
            while nowhere := named() - await known(world, session):
                assert time.monotonic() - begun < PATIENCE_SECONDS, nowhere
                await asyncio.sleep(1)
            (never,) = [each for each in await world.states() if each.svc == "mesh"]
            assert never.age is None
