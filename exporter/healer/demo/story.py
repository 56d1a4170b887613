"""The story the demo tells, step by step: what is done, what has to follow, and by when."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from healer.demo import contract
from healer.demo.events import NoEventError
from healer.demo.world import WorldError
from healer.stack.process import ProcessError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from healer.demo.events import Heard
    from healer.demo.world import World

PATIENCE_SECONDS = 15.0
"""How long after its deadline an event may come before the story has failed; it takes one or two."""

QUIET_SECONDS = 3.0
"""How long nothing may be reported while all is well."""


class StoryError(Exception):
    """What had to follow did not follow."""


class Audience(Protocol):
    """Whom the story is told to. Steps are numbered from 0."""

    def begins(self, step: int) -> None:
        """Hear that a step begins."""

    def passed(self, step: int, detail: str) -> None:
        """Hear that it ended as it should."""

    def failed(self, step: int, reason: str) -> None:
        """Hear that it did not, which ends the story."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the story ended.

    Attributes:
        failure: Why it failed, or an empty string if it passed.
        seconds: How long it took.
    """

    failure: str
    seconds: float


class Story:
    """One service dies and returns, then the monitor itself."""

    def __init__(self, world: World, victim: str) -> None:
        """Prepare the story.

        Args:
            world: Where it happens; all is well in it.
            victim: The service that dies.
        """
        self._world = world
        self._victim = victim
        self._monitor = world.truth.monitor
        self._timeout = next(each.timeout for each in world.truth.services if each.name == victim)
        number = len(world.services)
        self._steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            (f"All {number} services beat, and nothing is reported", self._all_well),
            (f"{victim} is killed: heartbeat_miss", self._service_dies),
            (f"{victim} returns: heartbeat_ok", self._service_returns),
            ("The exporter is killed: healer_miss, and no false heartbeat_miss", self._exporter_dies),
            ("The exporter returns: healer_ok, and all is well again", self._exporter_returns),
        ]

    @property
    def titles(self) -> list[str]:
        """What happens in each step."""
        return [title for title, _ in self._steps]

    async def tell(self, audience: Audience) -> Verdict:
        """Let it happen; return how it ended."""
        begun = time.monotonic()
        for number, (title, step) in enumerate(self._steps):
            audience.begins(number)
            try:
                detail = await step()
            except (StoryError, NoEventError, WorldError, ProcessError) as error:
                audience.failed(number, str(error))
                return Verdict(f"step {number + 1} ({title}): {error}", time.monotonic() - begun)
            audience.passed(number, detail)
        return Verdict("", time.monotonic() - begun)

    async def _all_well(self) -> str:
        await asyncio.sleep(QUIET_SECONDS)
        self._expect_silence(since=0, kind="")
        return f"nothing for {QUIET_SECONDS:g} s"

    async def _service_dies(self) -> str:
        mark = self._world.events.mark()
        await self._world.services[self._victim].kill()
        deadline = _known(await self._world.last_seen(self._victim)) + self._timeout
        event = await self._event("heartbeat_miss", self._victim, deadline, mark)
        return f"{event.at - deadline:.1f} s after its deadline"

    async def _service_returns(self) -> str:
        mark = self._world.events.mark()
        await self._world.services[self._victim].restart()
        returned = time.time()
        event = await self._event("heartbeat_ok", self._victim, returned, mark)
        return f"{event.at - returned:.1f} s after its first beat"

    async def _exporter_dies(self) -> str:
        mark = self._world.events.mark()
        await self._world.exporter.kill()
        deadline = _known(await self._world.monitor_last_seen()) + self._monitor.timeout
        event = await self._event("healer_miss", self._monitor.name, deadline, mark)
        # By now no beat has been heard for longer than any service's timeout: let what is false have its chance.
        longest = max(each.timeout for each in self._world.truth.services)
        until = deadline - self._monitor.timeout + 2 * longest + QUIET_SECONDS
        await asyncio.sleep(max(0.0, until - time.time()))
        self._expect_silence(since=mark, kind="heartbeat_")
        await self._expect_health_as_published()
        return f"{event.at - deadline:.1f} s after its deadline"

    async def _exporter_returns(self) -> str:
        mark = self._world.events.mark()
        await self._world.exporter.restart()
        returned = time.time()
        event = await self._event("healer_ok", self._monitor.name, returned, mark)
        await self._world.settled()
        await asyncio.sleep(QUIET_SECONDS)
        self._expect_silence(since=mark, kind="heartbeat_")
        await self._expect_health_as_published()
        return f"{event.at - returned:.1f} s after it served again"

    async def _event(self, kind: str, svc: str, due: float, mark: int) -> Heard:
        """Wait for an event that is due at epoch second `due`; it must keep the contract and be in health:<svc>."""
        within = max(0.0, due - time.time()) + PATIENCE_SECONDS
        event = await self._world.events.wait(kind, svc, within=within, since=mark)
        wrong = contract.faults(event)
        if wrong:
            raise StoryError(f"{event} breaks the contract: {'; '.join(wrong)}")
        if event.at < due and kind.endswith("_miss"):
            raise StoryError(f"{event} came {due - event.at:.1f} s before its deadline")
        stored = await self._world.health(svc)
        if stored != event.raw:
            raise StoryError(f"health:{svc} holds {stored!r}, not the event {event}")
        return event

    def _expect_silence(self, since: int, kind: str) -> None:
        false = self._world.events.since(since, kind)
        if false:
            raise StoryError(f"this is not true: {', '.join(map(str, false))}")

    async def _expect_health_as_published(self) -> None:
        last = {event.svc: event.raw for event in self._world.events.all}
        for svc in (*self._world.services, self._monitor.name):
            stored = await self._world.health(svc)
            if stored != last.get(svc):
                raise StoryError(f"health:{svc} holds {stored!r}, the last event was {last.get(svc)!r}")


def _known(instant: float) -> float:
    if not instant:
        raise StoryError("nobody says when the last beat was heard")
    return instant
