"""Brings messages through one channel, in order, until they arrive; what the channel suffers delays no other."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from healer.notify.channels import SendError
from healer.runtime.log import Throttle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from healer.notify.channels import Channel
    from healer.notify.message import Message
    from healer.runtime.clock import Clock

MOST = 16
"""Messages that wait for one channel; the oldest are dropped first."""

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""Between two tries: doubled each time."""


class Courier:
    """One channel's messages.

    Attributes:
        name: The channel's.
    """

    def __init__(
        self,
        channel: Channel,
        clock: Clock,
        count: Callable[[str, str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make the courier of `channel`.

        Args:
            channel: The way.
            clock: For the rate at which failures are logged.
            count: Called with the channel's name and `sent` or `failed` for each try.
            sleep: Waits between two tries.
        """
        self.name = channel.name
        self._channel = channel
        self._count = count
        self._sleep = sleep
        self._waiting: deque[Message] = deque(maxlen=MOST)
        self._work = asyncio.Event()
        self._log = structlog.get_logger(component="notify", channel=channel.name)
        self._throttle = Throttle(clock, 60.0)

    @property
    def pending(self) -> int:
        """How many messages have not arrived."""
        return len(self._waiting)

    def take(self, message: Message) -> None:
        """Bring `message`, as soon as possible; it stands for one that waits and says the same."""
        if self._waiting and (self._waiting[-1].over, self._waiting[-1].since) == (
            message.over,
            message.since,
        ):
            self._waiting.pop()
        self._waiting.append(message)
        self._work.set()

    async def run(self) -> None:
        """Bring what there is until cancelled."""
        pause = FIRST_SECONDS
        while True:
            await self._work.wait()
            if not self._waiting:
                self._work.clear()
                continue
            message = self._waiting[0]
            try:
                await self._channel.send(message)
            except SendError as error:
                self._count(self.name, "failed")
                held = self._throttle.admit("failed")
                if held is not None:
                    self._log.error("message did not arrive, trying on", reason=str(error), held_back=held)
                await self._sleep(min(max(pause, error.wait), LONGEST_SECONDS))
                pause = min(2 * pause, LONGEST_SECONDS)
                continue
            pause = FIRST_SECONDS
            self._count(self.name, "sent")
            self._log.info("message sent", over=message.over)
            # A newer one may stand for it by now: then it stays, and says more.
            if self._waiting and self._waiting[0] is message:
                self._waiting.popleft()
