"""The command `healer demo`: sets the world up, tells the story, lets the user play, and cleans up."""

from __future__ import annotations

import asyncio
import io
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from healer.demo import truth
from healer.demo.screen import screen as suitable_screen
from healer.demo.story import Story
from healer.demo.world import World, WorldError
from healer.stack.process import ProcessError
from healer.stack.servers import MissingServersError, find

if TYPE_CHECKING:
    from healer.demo.screen import Screen
    from healer.stack.servers import Servers

VICTIM = "rss_agg"

RETURN_SECONDS = 15.0
"""After how long what the user killed is started again."""

OPENING = (
    "Healer demo: sets up two Redis buses, Prometheus, Alertmanager, Healer's exporter and sentinel and four services"
    " that beat, all on free ports of 127.0.0.1. Nothing is installed; Ctrl-C ends it and leaves nothing behind."
)


def demo(*, once: bool, release: str | None = None) -> int:
    """Run the demo; return the exit status: 0 passed, 1 failed, 128 + n ended by signal n before its end.

    Args:
        once: End with the story, instead of letting the user play.
        release: A Debian release to take Prometheus and Alertmanager from, instead of those on PATH.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode still shows the rest
    console = Console(highlight=False, markup=False)
    console.print(OPENING, soft_wrap=not console.is_terminal)
    screen = suitable_screen(console)
    try:
        servers = find(release, say=screen.say)
        return asyncio.run(_Demo(servers, screen, console).run(once=once))
    except MissingServersError as error:
        console.print(f"demo: FAILED: {error}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


class _Demo:
    """One run of it."""

    def __init__(self, servers: Servers, screen: Screen, console: Console) -> None:
        self._servers = servers
        self._screen = screen
        self._console = console
        self._signal: signal.Signals | None = None
        self._failure = "it was interrupted"
        self._passed = ""

    async def run(self, *, once: bool) -> int:
        """Run it to its end in a folder of its own."""
        self._heed_signals()
        folder = Path(tempfile.mkdtemp(prefix="healer-demo-"))
        try:
            await self._play(folder, once=once)
        except asyncio.CancelledError:
            if self._signal is None:
                raise
        except (ProcessError, WorldError) as error:
            self._failure = str(error)
        finally:
            self._clear(folder)
        return self._verdict(folder)

    def _heed_signals(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(number: signal.Signals) -> None:
            self._signal = number
            loop.remove_signal_handler(number)  # the second one ends us at once, and the kernel our children
            if task is not None:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)

    async def _play(self, folder: Path, *, once: bool) -> None:
        self._screen.say(f"starting {self._servers}: about ten seconds until all are warm")
        async with World.start(self._servers, truth.document(), folder) as world:
            story = Story(world, VICTIM)
            async with self._screen.showing(world, story.titles):
                verdict = await story.tell(self._screen)
                self._failure = verdict.failure
                self._passed = f"{len(story.titles)} steps in {verdict.seconds:.0f} s, every event in time and none false"
            if not once and not verdict.failure:
                self._screen.hints(self._hints(world))
                async with self._screen.showing(world):
                    await world.keep_alive(RETURN_SECONDS, self._screen.say)

    def _hints(self, world: World) -> list[str]:
        victim, bus = world.services["mesh"], world.truth.monitor.alerts_bus
        client = self._servers.redis_cli
        settings = "".join(f"{name}={value} " for name, value in client.environment.items())
        return [
            "",
            f"Prometheus    {world.prometheus.url}",
            f"Alertmanager  {world.alertmanager.url}/",
            f"exporter      {world.exporter.url}/metrics",
            f"sentinel      {world.sentinel.url}/",
            f"events        {settings}{client.path} -p {world.redis[bus].port} SUBSCRIBE {world.truth.monitor.alerts_channel}",
            f"logs          {world.directory}",
            "",
            f"Kill something and watch; it is started again after {RETURN_SECONDS:g} s. Ctrl-C ends everything.",
            f"  kill {victim.pid}    {victim.name}, a service",
            f"  kill {world.exporter.pid}    the exporter",
            f"  kill {world.redis[bus].pid}    {bus}, with the alerts channel on it",
            f"  kill {world.prometheus.pid}    Prometheus",
        ]

    def _clear(self, folder: Path) -> None:
        """Remove the folder; after a failure only the data in it, which leaves the logs."""
        if self._failure and self._signal is None:
            for path in folder.iterdir():
                if path.is_dir() and path.name != "bundle":
                    shutil.rmtree(path, ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _verdict(self, folder: Path) -> int:
        if self._signal is not None and self._failure:
            self._console.print("demo: ended before its verdict, everything is stopped", soft_wrap=True)
            return 128 + self._signal
        if self._failure:
            self._console.print(f"demo: FAILED: {self._failure}\nthe logs are in {folder}", soft_wrap=True)
            return 1
        self._console.print(f"demo: passed: {self._passed}", soft_wrap=True)
        return 0
