"""The main path on real servers, with the demo's own truth: a death, an alert, a return; the monitor's death and return."""

from pathlib import Path

from healer.demo import contract, truth
from healer.demo.story import Story
from healer.demo.world import World
from healer.stack.servers import Servers


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


async def test_a_death_and_a_return_are_told_and_nothing_else(servers: Servers, tmp_path: Path) -> None:
    async with World.start(servers, truth.document(), tmp_path) as world:
        assert await world.subscribers() == dict.fromkeys((f"{name}:heartbeat" for name in truth.SERVICES), 1)
        told = Told()
        verdict = await Story(world, "rss_agg").tell(told)
        assert verdict.failure == ""
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


async def test_a_story_in_which_nothing_notices_the_death_fails_and_says_so(
    servers: Servers, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("healer.demo.story.PATIENCE_SECONDS", 1.0)
    async with World.start(servers, truth.document(), tmp_path) as world:
        await world.sentinel.kill()
        told = Told()
        verdict = await Story(world, "rss_agg").tell(told)
        assert "step 2 (rss_agg is killed: heartbeat_miss): no heartbeat_miss for rss_agg" in verdict.failure
        assert told.lines[-1].startswith("1 failed: no heartbeat_miss")
