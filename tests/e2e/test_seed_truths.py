"""The story with the wiring documents of the systems that Healer replaces, at their own pace of 10 and 30 seconds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from healer.bundle import Settings
from healer.demo.story import Story
from healer.demo.world import World

if TYPE_CHECKING:
    from healer.stack.servers import Servers

GOOD = Path(__file__).parents[1] / "truth" / "corpus" / "good"


PACE = Settings(scrape_interval=2.0, evaluation_interval=2.0, resend_delay=3.0, group_interval=2.0)
"""Fast enough for those timeouts."""


class Nobody:
    """An audience that only waits for the verdict."""

    def begins(self, step: int) -> None:
        """Nothing to do."""

    def passed(self, step: int, detail: str) -> None:
        """Nothing to do."""

    def failed(self, step: int, reason: str) -> None:
        """Nothing to do: the verdict says it."""


async def story_of(servers: Servers, name: str, directory: Path) -> tuple[str, list[str]]:
    document = json.loads((GOOD / name).read_text())
    async with World.start(servers, document, directory, pace=PACE) as world:
        verdict = await Story(world, "rss_agg").tell(Nobody())
        return verdict.failure, [event.type for event in world.events.all]


@pytest.mark.timeout(420)  # a 30 s timeout is waited out twice, and a warm-up of 22.5 s three times
async def test_both_documents_tell_the_story(servers: Servers, tmp_path: Path) -> None:
    names = ("user_guide.json", "readme.json")
    for name in names:
        (tmp_path / name).mkdir()
    told = await asyncio.gather(*(story_of(servers, name, tmp_path / name) for name in names))
    assert told == [("", ["heartbeat_miss", "heartbeat_ok", "healer_miss", "healer_ok"])] * 2
