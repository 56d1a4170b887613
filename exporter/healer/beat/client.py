"""Beats from a thread of their own, for services that do not use asyncio."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from healer.beat.rhythm import DEFAULT_INTERVAL, Rhythm
from healer.beat.senders import Sender, sender
from healer.beat.watchdog import Watchdog

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("healer.beat")


class Heartbeat:
    """Publishes `{"svc", "i", "ts"}` on a service's channel, from `start` to `stop` or over a `with` block.

    Nothing here raises or waits, whatever is wrong with Redis, its URL or the network: a beat that cannot be
    published is logged to `healer.beat` (once a break), tried again, and otherwise missing, which is what a
    heartbeat is for. Start it after forking: threads do not survive that.
    """

    def __init__(
        self,
        svc: str,
        url: str = "redis://127.0.0.1:6379",
        interval: float = DEFAULT_INTERVAL,
        *,
        channel: str | None = None,
        stall_after: float | None = None,
        expiry: float | None = None,
        watchdog: bool = False,
    ) -> None:
        """Prepare the beats; none is sent yet.

        Args:
            svc: The service's name, as truth.json has it.
            url: Of the Redis server; with password, `rediss://` or `unix://` as redis-py takes it, `redis+sentinel://`
                or `redis+cluster://`. Or `http(s)://` of an exporter, to post there; or `file:///path`, to touch it.
            interval: Seconds between two beats.
            channel: Where they are published; by default `<svc>:heartbeat`.
            stall_after: If given, beats are sent only within so many seconds of the last call of `alive`, so that a
                loop that hangs stops beating.
            expiry: If given, the beats are set as the key `channel`, which expires after so many seconds, instead of
                being published.
            watchdog: Also say `READY=1` to systemd at the start, and `WATCHDOG=1` with each beat, whether or not that
                can be published; as often as `WatchdogSec=` wants it. Takes `stall_after` to mean anything.
        """
        self._watchdog = Watchdog(wanted=watchdog)
        self._rhythm = Rhythm(svc, channel, self._watchdog.pace(interval), stall_after)
        self._url = url
        self._expiry = expiry
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def sent(self) -> int:
        """How many beats were published."""
        return self._rhythm.sent

    @property
    def error(self) -> str | None:
        """Why the newest beat could not be published, or None."""
        return self._rhythm.error

    def alive(self) -> None:
        """Say that the work goes on; costs nothing."""
        self._rhythm.alive()

    def start(self) -> Self:
        """Begin to beat; a second call changes nothing."""
        if self._thread is None:
            self._rhythm.alive()
            self._watchdog.ready()
            self._thread = threading.Thread(
                target=self._run, name=f"heartbeat {self._rhythm.svc}", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self._failed(error)
        return self

    def stop(self) -> None:
        """End the beats; the thread ends by itself. A heartbeat that was stopped stays so."""
        self._ended.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        way: Sender | None = None
        while not self._ended.is_set():
            beat = self._rhythm.next()
            if beat is not None:
                self._watchdog.feed()
                try:
                    way = way or self._way()
                    way.send(beat)
                except Exception as error:  # noqa: BLE001  # whatever it is, the service has better to do than to die of it
                    self._failed(error)
                else:
                    if self._rhythm.published():
                        log.info("%s beats on %s", self._rhythm.svc, self._rhythm.channel)
            self._ended.wait(self._rhythm.wait())
        if way is not None:
            way.close()

    def _way(self) -> Sender:
        rhythm = self._rhythm
        return sender(rhythm.svc, self._url, rhythm.channel, rhythm.attempt, expiry=self._expiry)

    def _failed(self, error: BaseException) -> None:
        if self._rhythm.failed(error):
            log.warning("no beat of %s can be published: %s", self._rhythm.svc, self._rhythm.error)
