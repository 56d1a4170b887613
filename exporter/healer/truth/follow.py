"""Follows the truth in Redis: what changes is put in force; what does not load never replaces what did."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from healer.runtime.tasks import aside
from healer.truth.load import parse
from healer.truth.problems import TruthError
from healer.truth.store import POLL_INTERVAL, Store, StoreError, fetch, keep_looking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from healer.truth.model import Truth
    from healer.truth.problems import Problem
    from healer.truth.store import Location

MOST_LOGGED = 20
"""Problems of one document that are logged; a reload's answer and `healer truth check` hold all."""


class _Read(NamedTuple):
    """What a document turned out to be: a truth, or a fault."""

    truth: Truth | None
    changed: bool
    problems: Sequence[Problem]
    fault: str = ""


class Follower:
    """Keeps a daemon on the newest truth that loads. One look at Redis or one reload at a time.

    Attributes:
        truth: The truth in force, or None before the first.
    """

    def __init__(
        self,
        place: Location,
        env: Mapping[str, str],
        adopt: Callable[[Truth], Awaitable[None]],
        judged: Callable[[bool], None] = lambda _: None,
        *,
        fault: Callable[[Truth], Problem | None] = lambda _: None,
        interval: float = POLL_INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make a follower that has seen nothing yet.

        Args:
            place: Where the document is.
            env: The environment variables that a truth may be completed from.
            adopt: Puts a truth in force that differs from the last.
            judged: Told whether the newest document seen is in force, whenever one was read or should have been.
            fault: Returns why a truth that loads cannot be taken, or None.
            interval: Seconds between two looks.
            sleep: Waits that many seconds.
        """
        self._unfit = fault
        self.truth: Truth | None = None
        self._place = place
        self._env = env
        self._adopt = adopt
        self._judged = judged
        self._interval = interval
        self._sleep = sleep
        # A document that was read may be old once it is judged: nobody else may judge a newer one meanwhile.
        self._one_at_a_time = asyncio.Lock()
        self._seen: bytes | None = None
        self._fault: str | None = None
        self._missed = False
        self._log = structlog.get_logger(component="truth")

    async def run(self) -> None:
        """Adopt the truth now and whenever it changes, until cancelled."""
        async with aclosing(Store(self._place)) as store:
            look = partial(self._look, store)
            await keep_looking(look, self._place, interval=self._interval, sleep=self._sleep)

    async def reload(self) -> str | None:
        """Read the truth anew; return None, or why the old one stays."""
        async with self._one_at_a_time:
            try:
                raw = await fetch(*self._place)
            except StoreError as error:
                self._missed = True
                self._refuse(str(error))
                return str(error)
            await self._take(raw)
            return self._fault

    async def _look(self, store: Store) -> None:
        async with self._one_at_a_time:
            raw = await store.fetch()
            if raw != self._seen:
                await self._take(raw)
            elif self._missed:
                self._missed = False
                self._judged(self._fault is None)
                self._log.info("truth can be read again, it is unchanged")

    async def _take(self, raw: bytes) -> None:
        read = await aside(partial(_read, raw, self._env, self._place.key, self.truth, self._unfit))
        log = self._log.error if read.truth is None else self._log.warning
        for problem in read.problems[:MOST_LOGGED]:
            log("truth problem", problem=problem.render(self._place.key))
        if len(read.problems) > MOST_LOGGED:
            log("more truth problems, `healer truth check` shows all", more=len(read.problems) - MOST_LOGGED)
        if read.truth is not None and read.changed:
            await self._adopt(read.truth)
            self.truth = read.truth
            self._log.info(
                "truth adopted",
                services=len(read.truth.services),
                buses=len(read.truth.buses),
                sha256=read.truth.sha256[:12],
            )
        self._seen, self._missed = raw, False
        self._fault = read.fault if read.truth is None else None
        if self._fault is None:
            self._judged(True)
        else:
            self._refuse(f"{len(read.problems)} problems")

    def _refuse(self, reason: str) -> None:
        self._judged(False)
        self._log.error("truth refused, the last one stays", reason=reason)


def _read(
    raw: bytes,
    env: Mapping[str, str],
    source: str,
    before: Truth | None,
    unfit: Callable[[Truth], Problem | None],
) -> _Read:
    """Do what takes seconds for thousands of services, away from the event loop."""
    try:
        loaded = parse(raw, env=env, source=source)
    except TruthError as error:
        return _Read(None, False, error.problems, str(error))
    if (problem := unfit(loaded.truth)) is not None:
        return _Read(None, False, [problem], problem.render(source))
    return _Read(loaded.truth, loaded.truth != before, loaded.warnings)
