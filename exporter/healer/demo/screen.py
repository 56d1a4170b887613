"""Shows the demo as it runs: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from rich.console import Console, RenderableType

    from healer.demo.events import Heard
    from healer.demo.world import State, World

REFRESH_SECONDS = 0.25
EVENTS_SHOWN = 6
STYLES = {"beating": "green", "missing": "bold red", "not watched": "yellow", "unknown": "dim"}


class Screen:
    """Plain lines, each with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._titles: Sequence[str] = ()

    def say(self, line: str) -> None:
        """Show a line of text."""
        elapsed = time.monotonic() - self._begun
        # A terminal gets whole words; a file gets whole lines.
        self._console.print(Text(f"[{elapsed:6.1f} s] {line}"), soft_wrap=not self._console.is_terminal)

    def begins(self, step: int) -> None:
        """Show that a step begins."""
        self.say(f"{step + 1}/{len(self._titles)} {self._titles[step]}")

    def passed(self, step: int, detail: str) -> None:
        """Show that it passed."""
        self.say(f"    ✓ {detail}")

    def failed(self, step: int, reason: str) -> None:
        """Show that it failed."""
        self.say(f"    ✗ {reason}")

    def hints(self, lines: Sequence[str]) -> None:
        """Show what the user can do now."""
        for line in lines:
            # Unbroken, for there are commands in them to copy.
            self._console.print(Text(line), soft_wrap=True)

    @asynccontextmanager
    async def showing(self, world: World, titles: Sequence[str] = ()) -> AsyncIterator[None]:
        """Show the steps called `titles` and what is published from now on, for the length of a block."""
        self._titles = titles
        task = asyncio.create_task(self._follow(world, world.events.mark()))
        try:
            yield
        finally:
            await _cancel(task)

    async def _follow(self, world: World, mark: int) -> None:
        async for event in world.events.follow(mark):
            self.say(f"    {event}")


class LiveScreen(Screen):
    """A picture that is drawn anew all the time: services, steps, events."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._steps: dict[int, tuple[RenderableType, RenderableType]] = {}
        self._states: Sequence[State] = ()
        self._events: list[tuple[float, Heard]] = []

    def begins(self, step: int) -> None:
        """Show that a step runs."""
        self._steps[step] = (Text("▶", "bold yellow"), Text(self._titles[step], "bold"))

    def passed(self, step: int, detail: str) -> None:
        """Tick it off."""
        self._steps[step] = (
            Text("✓", "bold green"),
            Text.assemble(self._titles[step], (f"  {detail}", "green")),
        )

    def failed(self, step: int, reason: str) -> None:
        """Cross it out."""
        self._steps[step] = (
            Text("✗", "bold red"),
            Text.assemble(self._titles[step], (f"  {reason}", "red")),
        )

    @asynccontextmanager
    async def showing(self, world: World, titles: Sequence[str] = ()) -> AsyncIterator[None]:
        """Draw the picture for the length of a block, and leave its last state on the screen."""
        self._titles, self._steps, self._events = titles, {}, []
        tasks = [
            asyncio.create_task(self._follow(world, world.events.mark())),
            asyncio.create_task(self._observe(world)),
        ]
        try:
            with Live(
                console=self._console, get_renderable=self.picture, refresh_per_second=1 / REFRESH_SECONDS
            ):
                yield
        finally:
            for task in tasks:
                await _cancel(task)

    async def _follow(self, world: World, mark: int) -> None:
        async for event in world.events.follow(mark):
            self._events.append((time.monotonic() - self._begun, event))

    async def _observe(self, world: World) -> None:
        while True:
            self._states = await world.states()
            await asyncio.sleep(REFRESH_SECONDS)

    def picture(self) -> RenderableType:
        """Return what is on the screen now."""
        waiting = [(" ", Text(title, style="dim")) for title in self._titles[len(self._steps) :]]
        parts: list[RenderableType] = [Text(), self._services()]
        if self._titles:
            parts += [Text(), _hanging([*self._steps.values(), *waiting], gap=1)]
        if self._events:
            parts += [Text(), Text("events on the alerts channel", style="bold")]
            styles = ["red" if event.type.endswith("_miss") else "green" for _, event in self._events]
            rows = [
                (Text(f"{at:6.1f} s", style=style), Text(str(event), style=style, overflow="fold"))
                for (at, event), style in zip(self._events, styles, strict=True)
            ]
            parts.append(_hanging(rows[-EVENTS_SHOWN:], gap=2))
        return Group(*parts)

    def _services(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("service", "bus", "state", "last beat"):
            table.add_column(heading)
        for each in self._states:
            age = "" if each.age is None else f"{each.age:.1f} s ago"
            table.add_row(each.svc, each.bus, Text(each.state, style=STYLES[each.state]), age)
        return table


def _hanging(rows: Iterable[tuple[RenderableType, RenderableType]], *, gap: int) -> Table:
    """Lay rows out so that what is too long for a narrow terminal goes on below its own beginning."""
    table = Table.grid(padding=(0, gap, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    return table


def screen(console: Console) -> Screen:
    """Return the screen that suits `console`."""
    return LiveScreen(console) if console.is_terminal else Screen(console)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
