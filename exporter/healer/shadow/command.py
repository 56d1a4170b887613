"""The subcommand `healer shadow`: listens to both healers until told to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from redis.exceptions import RedisError

from healer.runtime.redact import safe_url
from healer.shadow import report
from healer.shadow.compare import Comparison, Side
from healer.shadow.listen import ask, listen
from healer.shadow.prepare import DATABASE, ShadowError, prepare
from healer.truth.buses import url_fault
from healer.truth.problems import TruthError
from healer.truth.report import read
from healer.truth.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.shadow.compare import Disagreement
    from healer.truth.model import Truth

STEP_SECONDS = 0.5


@click.group("shadow")
def shadow() -> None:
    """Run beside another healer, and prove that Healer says the same. docs/migrating.md has the steps."""


@shadow.command("truth")
@click.argument("source", metavar="FILE")
@click.option(
    "--database",
    type=click.IntRange(0),
    default=DATABASE,
    show_default=True,
    help="Of the alerts' Redis, for our keys.",
)
def shadow_truth(source: str, database: int) -> None:
    """Print the truth in FILE (- for standard input) for a Healer in the shadow: its events and own beat go elsewhere."""
    try:
        raw, loaded = read(source, os.environ)
        click.echo(prepare(raw, loaded, database), nl=False)
    except (TruthError, StoreError, ShadowError) as error:
        raise click.ClickException(str(error)) from None


@shadow.command("run")
@click.option(
    "--theirs",
    default="healer:alerts",
    show_default=True,
    metavar="CHANNEL",
    help="The other healer's events.",
)
@click.option(
    "--theirs-url",
    metavar="URL",
    help="The Redis server that has them.  [default: that of our events, database 0]",
)
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="SEC",
    help="End after so long.  [default: on Ctrl-C]",
)
@click.option(
    "--within", type=click.FloatRange(min=0.0, min_open=True), default=30.0, show_default=True, metavar="SEC",
    help="How much later one may say what the other said.",
)  # fmt: skip
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Disagreements for programs, one a line; the summary goes to standard error.",
)
def shadow_run(
    theirs: str, theirs_url: str | None, seconds: float | None, within: float, *, as_json: bool
) -> None:
    """Compare our events with those of another healer, and say where the two disagree, when, and who is right by the beats.

    The truth is that of the shadow, read from Redis: set TRUTH_REDIS_KEY. Exit status: 0 nothing speaks for the other healer,
    1 something does or is open, 2 nothing was compared.
    """
    try:
        truth = read(None, os.environ)[1].truth
    except (TruthError, StoreError) as error:
        raise click.ClickException(str(error)) from None
    ours = truth.bus(truth.monitor.alerts_bus).url
    place = theirs_url or _of_database_zero(ours)
    if fault := url_fault(place):
        raise click.UsageError(f"--theirs-url: {fault}")
    if theirs == truth.monitor.alerts_channel:
        raise click.UsageError(
            f"Both would be heard on {theirs}: is TRUTH_REDIS_KEY that of the shadow's truth?"
        )
    sides = {Side.OURS: Source(ours, truth.monitor.alerts_channel), Side.THEIRS: Source(place, theirs)}
    run = Run(truth, sides, within, as_json=as_json)
    sys.exit(asyncio.run(run.until(seconds)))


def _of_database_zero(url: str) -> str:
    head, _, tail = url.partition("?")
    scheme, _, rest = head.partition("://")
    if scheme == "unix":
        return head
    return f"{scheme}://{rest.partition('/')[0]}" + (f"?{tail}" if tail else "")


@dataclass(frozen=True)
class Source:
    """Where a side publishes: URL and channel."""

    url: str
    channel: str


class Run:
    """One run of the comparison."""

    def __init__(self, truth: Truth, sides: dict[Side, Source], within: float, *, as_json: bool) -> None:
        self._truth = truth
        self._sides = sides
        self._as_json = as_json
        self._begun = time.time()
        services = {each.name: (each.timeout, each.bus) for each in truth.services}
        self.comparison = Comparison(services, within, self._begun)

    async def until(self, seconds: float | None) -> int:
        """Listen for so many seconds, or until a signal; return the exit status."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        tasks = [asyncio.create_task(task) for task in self._listeners()]
        tasks.append(asyncio.create_task(self._look()))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._say(self.comparison.due(time.time()))
        lines = report.summary(self.comparison, time.time() - self._begun)
        click.echo("\n".join(lines), err=self._as_json)
        return report.status(self.comparison)

    async def _look(self) -> None:
        await self._stand()
        while True:
            await asyncio.sleep(STEP_SECONDS)
            self._say(self.comparison.due(time.time()))

    async def _stand(self) -> None:
        """Take what either had said before."""
        names = [service.name for service in self._truth.services]
        for side, source in self._sides.items():
            try:
                found = await ask(source.url, [f"health:{name}" for name in names])
            except (RedisError, OSError, TimeoutError) as error:
                self._complain(source.url, str(error))
                continue
            for name, raw in zip(names, found, strict=True):
                self.comparison.standing(side, name, str(_event(raw or b"").get("type")))
        self._say(self.comparison.differences(time.time()))

    def _listeners(self) -> list[Any]:
        """Return one listener for each bus and each side."""
        listeners = []
        for bus in self._truth.buses:
            names = {each.channel: each.name for each in self._truth.services if each.bus == bus.name}
            if names:
                listeners.append(self._listen(bus.url, list(names), self._beats(names), self._anew(bus.name)))
        for side, source in self._sides.items():
            anew = self._heard_again(side)
            listeners.append(self._listen(source.url, [source.channel], self._events(side), anew))
        return listeners

    async def _listen(
        self,
        url: str,
        channels: list[str],
        heard: Callable[[str, bytes, float], None],
        anew: Callable[[float], None],
    ) -> None:
        await listen(url, channels, heard, anew, lambda reason: self._complain(url, reason))

    def _beats(self, names: dict[str, str]) -> Callable[[str, bytes, float], None]:
        return lambda channel, _, at: self.comparison.beat(names[channel], at)

    def _anew(self, bus: str) -> Callable[[float], None]:
        return lambda at: self.comparison.cut(bus, at)

    def _heard_again(self, side: Side) -> Callable[[float], None]:
        first = True

        def anew(at: float) -> None:
            nonlocal first
            if not first:
                self.comparison.deaf(side, at)
            first = False

        return anew

    def _events(self, side: Side) -> Callable[[str, bytes, float], None]:
        return lambda _, raw, at: self._say(self.comparison.said(side, _event(raw), at))

    def _complain(self, url: str, reason: str) -> None:
        click.echo(f"healer shadow: {safe_url(url)}: {reason}", err=True)

    def _say(self, found: list[Disagreement]) -> None:
        for each in found:
            click.echo(report.line(each, as_json=self._as_json))


def _event(raw: bytes) -> dict[str, Any]:
    """Return the event in a message; an empty one if there is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
