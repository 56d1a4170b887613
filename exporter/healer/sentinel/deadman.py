"""Calls a dead man's switch outside for as long as Watchdogs come that count: its alarm is the end of the calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from healer.notify.channels import SendError, call
from healer.runtime import secrets
from healer.runtime.log import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from healer.runtime.clock import Clock
    from healer.sentinel.watchdog import Watchdog

STEP_SECONDS = 0.5
CALL_SECONDS = 10.0
RETRY_SECONDS = 5.0
"""Between two tries while it does not answer."""


class Switch:
    """The calls.

    Attributes:
        succeeded: When it last answered (epoch seconds); 0 before the first.
    """

    def __init__(
        self,
        file: Path,
        interval: float,
        watchdog: Watchdog,
        clock: Clock,
        count: Callable[[str], None],
        *,
        body: Path | None = None,
    ) -> None:
        """Make the switch whose URL is in `file`.

        Args:
            file: Read for each call.
            interval: Seconds between two calls.
            watchdog: Knows what was heard.
            clock: Its time.
            count: Called with `sent` or `failed` for each call.
            body: A file with JSON to post, read for each call too; None: the URL is got.
        """
        self.succeeded = 0.0
        self._file = file
        self._body = body
        self._interval = interval
        self._watchdog = watchdog
        self._clock = clock
        self._count = count
        self._beat: float | None = None
        self._next = 0.0
        self._throttle = Throttle(clock, 60.0)
        self._log = structlog.get_logger(component="deadmansswitch")

    async def run(self) -> None:
        """Call when it is due, until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(STEP_SECONDS)

    async def step(self) -> None:
        """Call if a Watchdog was heard since the last call that succeeded, and it is time."""
        beat, now = self._watchdog.beat, self._clock.monotonic()
        if now < self._next or beat == self._beat or self._watchdog.alive_since() is None:
            return
        try:
            await self._call()
        except SendError as error:
            self._count("failed")
            self._next = self._clock.monotonic() + max(
                min(RETRY_SECONDS, self._interval), min(error.wait, 60.0)
            )
            held = self._throttle.admit("failed")
            if held is not None:
                self._log.error("dead man's switch not reached, trying on", reason=str(error), held_back=held)
            return
        self._count("sent")
        self._beat, self._next = beat, now + self._interval
        self.succeeded = self._clock.wall()

    async def _call(self) -> None:
        if self._body is None:
            await call("GET", self._file, CALL_SECONDS)
            return
        try:
            body = secrets.read(self._body).encode()
        except secrets.SecretError as error:
            raise SendError(str(error)) from None
        await call("POST", self._file, CALL_SECONDS, body)
