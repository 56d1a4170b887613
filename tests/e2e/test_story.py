"""The main path on real servers: a death, an alert, a return; the monitor's death and return.

With the wiring documents of the systems that Healer replaces, at their own pace of 10 and 30 seconds; `healer demo`, which
tells the same with the demo's own, has tests beside this.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from healer.bundle import Settings
from healer.demo import contract, truth
from healer.demo.story import Story
from healer.demo.world import World

if TYPE_CHECKING:
    from healer.stack.servers import Servers

GOOD = Path(__file__).parents[1] / "truth" / "corpus" / "good"

PACE = Settings(scrape_interval=2.0, evaluation_interval=2.0, resend_delay=3.0, group_interval=2.0)
"""Fast enough for those timeouts."""


class Told:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begins(self, step: int) -> None:
        self.lines.append(f"{step} begins")

    def passed(self, step: int, detail: str) -> None:
        self.lines.append(f"{step} passed")

    def failed(self, step: int, reason: str) -> None:
        self.lines.append(f"{step} failed: {reason}")


async def tell(servers: Servers, name: str, directory: Path) -> None:
    document = json.loads((GOOD / name).read_text())
    async with World.start(servers, document, directory, pace=PACE) as world:
        channels = [service.channel for service in world.truth.services]
        assert await world.subscribers() == dict.fromkeys(channels, 1)
        told = Told()
        verdict = await Story(world, "rss_agg").tell(told)
        assert (name, verdict.failure) == (name, "")
        assert told.lines == [f"{step} {what}" for step in range(5) for what in ("begins", "passed")]
        assert [(event.type, event.svc) for event in world.events.all] == [
            ("heartbeat_miss", "rss_agg"),
            ("heartbeat_ok", "rss_agg"),
            ("healer_miss", "healer"),
            ("healer_ok", "healer"),
        ]
        assert [contract.faults(event) for event in world.events.all] == [[]] * 4
        processes = world.processes.values()
        assert all(process.running for process in processes)
    assert not any(process.running for process in processes)


@pytest.mark.timeout(420)  # a 30 s timeout is waited out twice, and a warm-up of 22.5 s three times
async def test_a_death_and_a_return_are_told_and_nothing_else(servers: Servers, tmp_path: Path) -> None:
    names = ("user_guide.json", "readme.json")
    for name in names:
        (tmp_path / name).mkdir()
    async with asyncio.TaskGroup() as both:
        for name in names:
            both.create_task(tell(servers, name, tmp_path / name))


async def test_a_story_in_which_nothing_notices_the_death_fails_and_says_so(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("healer.demo.story.PATIENCE_SECONDS", 1.0)
    async with World.start(servers, truth.document(), tmp_path) as world:
        await world.sentinel.kill()
        told = Told()
        verdict = await Story(world, "rss_agg").tell(told)
        assert "step 2 (rss_agg is killed: heartbeat_miss): no heartbeat_miss for rss_agg" in verdict.failure
        assert told.lines[-1].startswith("1 failed: no heartbeat_miss")
