"""Two of everything, killed, paused and restarted at random while services die and return: each event once, none false.

`make test-chaos` runs 200 steps; HEALER_CHAOS_STEPS and HEALER_CHAOS_SEED choose others.
"""

from __future__ import annotations

import asyncio
import collections
import os
import random
import statistics
import time
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.chaos.ledger import MISS, OK, Ledger, Published
from tests.chaos.plan import BUS, REST_SECONDS, Action, Step, steps
from tests.e2e.pairs import heard, pairs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.pairs import Pairs

    from healer.stack.ports import Ports
    from healer.stack.servers import Servers
    from healer.stack.stack import Server

STEPS = int(os.environ.get("HEALER_CHAOS_STEPS", "200"))
SEED = int(os.environ.get("HEALER_CHAOS_SEED", "1"))
TIMEOUT = 3.0
MORTAL = ("rss_agg", "mesh", "massive", "vexy_ai", "copilot")
STEADY = ("market_feed", "journal", "vigil")
"""Services that never die, and of which nothing may be said."""
STORY_LINES = 60
"""What a failure shows of what happened before it."""
LOST_SECONDS = 300.0
"""What has not been published by then, while the chaos goes on or after it, is lost."""


class Chaos:
    """One run."""

    def __init__(self, world: Pairs, bus: Server, seed: int) -> None:
        self.world = world
        self.bus = bus
        self.published = Published(bus.log.with_suffix(""))
        self.ledger = Ledger.of((*MORTAL, *STEADY))
        self.done: collections.Counter[str] = collections.Counter()
        self.over = False
        self.story: list[tuple[float, str]] = []
        self._seed = seed
        self._back = dict.fromkeys((*world.servers, BUS), 0.0)
        self._away: set[str] = set()

    async def run(self, plan: list[Step]) -> None:
        """Carry out the plan while services come and go; then let all of them return."""
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(self._live(name)) for name in MORTAL]
            watch = group.create_task(self._watch())
            async with asyncio.TaskGroup() as steps_:
                for step in plan:
                    await self._until_due(step)
                    self._away.add(step.victim)
                    steps_.create_task(self._carry_out(step))
                    await asyncio.sleep(step.gap)
            await heard(self.world)
            self.over = True
            await asyncio.gather(*lives)
            await asyncio.sleep(5.0)
            watch.cancel()
        self.published.look()
        self.ledger.check(self.published)

    def _note(self, what: str) -> None:
        self.story.append((time.time(), what))

    async def _until_due(self, step: Step) -> None:
        """Wait until the victim is there, and its twin has been for a while."""
        twins = [name for name in self._back if name.partition("-")[0] == step.kind]
        while any(  # noqa: ASYNC110  several tasks change it
            name in self._away or (name != step.victim and time.monotonic() - self._back[name] < REST_SECONDS)
            for name in twins
        ):
            await asyncio.sleep(0.05)

    async def _carry_out(self, step: Step) -> None:
        server = self.bus if step.victim == BUS else self.world.servers[step.victim]
        self._note(f"{step.victim}: {step.action}, {step.seconds:.1f} s")
        match step.action:
            case Action.PAUSE:
                await server.pause()
                await asyncio.sleep(step.seconds)
                await server.resume()
            case Action.KILL:
                await server.kill()
                await asyncio.sleep(step.seconds)
            case Action.RESTART:
                await server.stop()
        if step.action is not Action.PAUSE:
            await server.start()
        await server.wait_ready(60.0)
        self._note(f"{step.victim}: ready")
        self.done[f"{step.kind} {step.action}"] += 1
        self._back[step.victim] = time.monotonic()
        self._away.discard(step.victim)

    async def _watch(self) -> None:
        """Hold what is published against what happened, all the time."""
        while self.ledger.check(self.published):
            self.published.look()
            await asyncio.sleep(0.2)
        self._fail()

    def _fail(self) -> NoReturn:
        """End with what led to it."""
        told = [
            (at, f"{event['svc']}: published {event['type']} {event}") for at, event in self.published.events
        ]
        story = sorted([*self.story, *told])[-STORY_LINES:]
        beats = {name: f"{time.time() - at:.1f} s ago" for name, at in self.world.last.items()}
        lines = [f"{at - story[0][0]:6.1f} {what}" for at, what in story]
        pytest.fail("\n".join([self.report(), *lines, f"last beats: {beats}"]))

    async def _live(self, name: str) -> None:
        """Die and return, each time once the world was told of the last; now and then only blink."""
        dice = random.Random(f"{self._seed} {name}")
        while not self.over:
            await asyncio.sleep(dice.uniform(1.0, 8.0))
            self.world.alive.discard(name)
            if dice.random() < 0.3:
                self.ledger.blinks += 1
                self._note(f"{name}: blinks")
                await asyncio.sleep(dice.uniform(0.2, 0.5) * TIMEOUT)
                self.world.alive.add(name)
                self._note(f"{name}: beats")
                continue
            self._note(f"{name}: dies")
            await self._told(name, MISS)
            await asyncio.sleep(dice.uniform(0.0, 4.0))
            self.world.alive.add(name)
            self._note(f"{name}: returns")
            await self._told(name, OK)

    async def _told(self, name: str, kind: str) -> None:
        """Wait until the event of what has just been done is published."""
        happened = self.ledger.happened[name]
        happened.append(kind)
        begun = time.time()
        while len(self.published.of(name)) < len(happened):
            if time.time() - begun > LOST_SECONDS:
                self.ledger.faults.append(f"lost: {kind} of {name}, number {len(happened)}")
                self._fail()
            await asyncio.sleep(0.1)
        self.ledger.waits[kind].append(time.time() - begun)

    def report(self) -> str:
        """Return what was done and what came of it."""
        told = len(self.world.events.all)
        lines = [
            f"seed {self._seed}: {sum(self.done.values())} steps: "
            + ", ".join(f"{what} {count}" for what, count in sorted(self.done.items()))
        ]
        for kind, waits in self.ledger.waits.items():
            if waits:
                lines.append(
                    f"{kind}: {len(waits)}, after {statistics.median(waits):.1f} s (median), {max(waits):.1f} s at most"
                )
        lines.append(f"blinks: {self.ledger.blinks}; steady services: {len(STEADY)}")
        lines.append(
            f"published: {len(self.published.events)}; heard by a subscriber that Redis' end cuts off: {told}"
        )
        lines.append(f"lost, doubled, false: {self.ledger.faults or 'none'}")
        return "\n".join(lines)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
async def test_whatever_of_a_pair_goes_every_event_comes_once_and_none_is_false(
    servers: Servers, ports: Ports, tmp_path: Path, redis_server
) -> None:
    bus = await redis_server(keep=True)
    async with pairs(servers, ports, tmp_path, bus.url, (*MORTAL, *STEADY), TIMEOUT) as world:
        await asyncio.sleep(TIMEOUT)
        chaos = Chaos(world, bus, SEED)
        await chaos.run(steps(SEED, STEPS))
        print(chaos.report())  # noqa: T201  it is the result, shown by -rP
        assert chaos.ledger.faults == []
        assert sum(chaos.done.values()) == STEPS
        heard_ = [(event.type, event.svc) for event in world.events.all]
        published = [(event["type"], event["svc"]) for _, event in chaos.published.events]
        remaining = iter(published)
        assert all(each in remaining for each in heard_), (
            "what a subscriber heard is what was published, in its order"
        )


def test_a_plan_is_the_same_for_the_same_seed_and_spares_nobody() -> None:
    assert steps(1, 200) == steps(1, 200) != steps(2, 200)
    assert len({step.victim for step in steps(1, 200)}) == 9
    assert {step.action for step in steps(1, 200)} == set(Action)


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ([MISS], None),
        ([MISS, OK], None),
        ([MISS, MISS], "doubled: heartbeat_miss of mesh, number 2"),
        ([OK], "false: heartbeat_ok of mesh, number 1"),
        ([MISS, OK, MISS], "false: heartbeat_miss of mesh, number 3"),
    ],
)
def test_the_ledger_tells_what_is_doubled_from_what_is_false(
    told: list[str], fault: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    lines = [
        f'*3\r\n$3\r\nSET\r\n$11\r\nhealth:mesh\r\n$9\r\n{{"type":"{kind}","svc":"mesh"}}\r\n'
        for kind in told
    ]
    (folder / "appendonly.aof.1.incr.aof").write_text("".join(lines), newline="")
    published = Published(tmp_path)
    published.look()
    ledger = Ledger.of(["mesh"])
    ledger.happened["mesh"] = [MISS, OK]
    assert ledger.check(published) is (fault is None)
    assert ledger.faults == ([fault] if fault else [])
