"""Decides what each alert, each beat and each silence means, and has the ledger publish it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import structlog

from healer.runtime.redact import safe_url
from healer.sentinel import alerts, incidents
from healer.sentinel.events import (
    Event,
    HealerMiss,
    HealerOk,
    HeartbeatMiss,
    HeartbeatOk,
    encode,
    tenths,
    type_of,
)
from healer.sentinel.incidents import Record
from healer.sentinel.ledger import Ledger, Place
from healer.sentinel.settling import Settling
from healer.sentinel.standing import Standing
from healer.sentinel.watchdog import PEER, SELDOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from healer.runtime.clock import Clock
    from healer.sentinel.alerts import Alert, Webhook
    from healer.sentinel.watchdog import Watchdog
    from healer.truth.model import Service, Truth


AHEAD_SECONDS = 10.0
"""An alert's times this far ahead of both the clock and the Watchdog are wrong: they would hide what comes next."""

SLICE = 1000
"""So many names of a Watchdog are looked at before other work has its turn: some milliseconds."""

AT_ONCE = 8
"""How many alerts of webhooks are carried out at the same time; a whole site may die at once."""


class NotReadyError(Exception):
    """There is no truth yet, so nobody knows where to publish; try again."""


class Delivery:
    """The way from alerts to events.

    Attributes:
        truth: The truth in force, or None before the first.
        ledger: The ledger of that truth's alerts bus, or None before the first.
    """

    def __init__(self, clock: Clock, watchdog: Watchdog, published: Callable[[Event], None]) -> None:
        """Make a delivery that knows no truth yet.

        Args:
            clock: Its time.
            watchdog: Is told of the pipeline's beats.
            published: Called for each event that this process published.
        """
        self.truth: Truth | None = None
        self.ledger: Ledger | None = None
        self._clock = clock
        self._watchdog = watchdog
        self._published = published
        self._services: dict[str, Service] = {}
        self._buses: set[str] = set()
        self._monitor = ""
        self._unwritten: float | None = None
        self._adopted = False
        self._settling = Settling()
        self._started = self._unsound = self._deaf = clock.monotonic()
        self._standing = Standing(self._started)
        self._was_silent = False
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._log = structlog.get_logger(component="sentinel")

    async def adopt(self, truth: Truth) -> None:
        """Put `truth` in force; the ledger moves if the alerts bus did."""
        self.truth = truth
        monitor = truth.monitor
        self._services = {service.name: service for service in truth.services}
        self._buses = {bus.name for bus in truth.buses}
        self._watchdog.timeout = monitor.timeout
        self._monitor = f"monitor:{monitor.name}"
        place = Place(truth.bus(monitor.alerts_bus).url, monitor.alerts_channel, f"{monitor.name}:sentinel")
        if self.ledger is None or self.ledger.place != place:
            old, self.ledger = self.ledger, Ledger(place, before=self.ledger)
            self._adopted = False
            if old is not None:
                await old.close()

    async def close(self) -> None:
        """Close the ledger's connections."""
        if self.ledger is not None:
            await self.ledger.close()

    def waiting_for(self) -> str | None:
        """Return what the sentinel lacks to publish an event, or None."""
        if self.ledger is None:
            return "no truth yet"
        return None if self.ledger.up else f"no answer from Redis at {safe_url(self.ledger.place.url)}"

    def pending(self) -> int:
        """Return how many recoveries wait for proof."""
        records = self.ledger.records if self.ledger else {}
        return sum(record.owed is not None for record in records.values())

    def beat_due(self) -> bool:
        """Return whether a beat was heard and is not stored yet."""
        return self._unwritten is not None

    async def deliver(self, webhook: Webhook) -> None:
        """Carry out a webhook, beats first, then its alerts in order. Doing it twice does it once.

        Raises:
            NotReadyError: There is no truth yet.
            LedgerDownError: Redis is out of reach; some alerts may have been carried out.
        """
        with self._listening():
            await self._deliver(webhook)

    async def _deliver(self, webhook: Webhook) -> None:
        self._note(webhook)
        latest = max(self._clock.wall(), self._watchdog.beat or 0.0) + AHEAD_SECONDS
        for alert in webhook.alerts:
            if alert.name == alerts.WATCHDOG and alert.firing:
                beat = self._clock.wall() if alert.evaluated is None else alert.evaluated
                if self._watchdog.hear(webhook.sender, beat):
                    self._unwritten = beat
        # A rule that changed its labels ends one alert and fires another: while one fires, the service is missing.
        firing = {(alert.name, alert.svc) for alert in webhook.alerts if alert.firing}
        for alert in webhook.alerts:
            if not alert.firing and (alert.name, alert.svc) in firing:
                continue
            if alert.name == alerts.HEARTBEAT_MISS and not alert.ignored:
                await self._carry_out(f"svc:{alert.svc}", alert.until(latest), self._heartbeat)
            elif alert.name == alerts.HEALER_MISS:
                await self._carry_out(self._monitor, alert.until(latest), self._healer)
        for alert in webhook.alerts:
            await self._hear_returned(alert, latest)

    async def _hear_returned(self, watchdog: Alert, latest: float) -> None:
        for number, (beat, svc) in enumerate(watchdog.beats(), 1):
            await self._prove(svc, min(beat, latest))
            if number % SLICE == 0:
                await asyncio.sleep(0)

    async def _prove(self, svc: str, beat: float) -> None:
        """End the outage of `svc` if this beat came after it began, and nobody says any more that it lasts."""
        field, service = f"svc:{svc}", self._services.get(svc)
        if self.ledger is None or service is None:
            return
        record = self.ledger.record(field)
        if not record.missing:  # nearly always, and a Watchdog may name thousands
            return
        change = partial(incidents.beaten, beat=beat, doubt=service.timeout / 2)
        contested = self._standing.contested(field, self._clock.monotonic(), self._watchdog.timeout)
        if contested or change(record) == record:
            return
        await self._apply(field, change, partial(self._returned, svc, beat))

    def _note(self, webhook: Webhook) -> None:
        now = self._clock.monotonic()
        self._standing.told(webhook.repeat, now, self._watchdog.timeout)
        for alert in webhook.alerts:
            if alert.name in alerts.BLIND:
                if alert.bus in self._buses and (not alert.svc or alert.svc in self._services):
                    self._standing.unwatched(alert, now)
            elif alert.firing and alert.name == alerts.HEARTBEAT_MISS:
                self._standing.confirm(f"svc:{alert.svc}", now)
            elif alert.firing and alert.name == alerts.HEALER_MISS:
                self._standing.confirm(self._monitor, now)
            for svc in alert.missing:
                self._standing.confirm(f"svc:{svc}", now)

    async def tick(self) -> None:
        """Do what is due by time: note beats, the silence and its end, settle what is owed.

        Raises:
            LedgerDownError: Redis is out of reach; it stays due.
        """
        self._say_silence()
        if self.ledger is not None:
            with self._listening():
                await self._tick(self.ledger)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Note when something could not be stored: a dead service may have been reported, and not been heard."""
        try:
            yield
        except BaseException:  # a deadline that cancels is as good a reason as Redis
            self._deaf = self._clock.monotonic()
            raise

    async def _tick(self, ledger: Ledger) -> None:
        await ledger.refresh()
        self._hear_peers(ledger.record(self._monitor).beat)
        beat = self._unwritten
        if beat is not None:
            await self._apply(self._monitor, partial(incidents.heard, beat=beat), self._pipeline)
            if self._unwritten == beat:  # a webhook may have brought a newer one meanwhile
                self._unwritten = None
        record = ledger.record(self._monitor)
        if self._watchdog.silent() and not record.silent:
            await self._apply(self._monitor, partial(incidents.silenced, seen=record.beat), self._pipeline)
        await self._settle(ledger)

    def _say_silence(self) -> None:
        silent = self._watchdog.silent()
        if silent and not self._was_silent:
            self._log.warning(
                "watchdog silent", late_sec=tenths(self._watchdog.late()), timeout_sec=self._watchdog.timeout
            )
        elif self._was_silent and not silent:
            hint = {"hint": SELDOM} if self._watchdog.seldom() else {}
            self._log.info("watchdog back", **hint)
        self._was_silent = silent

    def _hear_peers(self, beat: float | None) -> None:
        """Take over what another sentinel heard; at first, what was heard before this process began."""
        if beat is not None and self._adopted:
            self._watchdog.hear(PEER, beat)
        elif beat is not None:
            self._watchdog.adopt(beat)
        self._adopted = True

    async def _carry_out(
        self, field: str, alert: Alert, event: Callable[[Alert, Record], Event | None]
    ) -> None:
        def change(record: Record) -> Record:
            if alert.firing:
                return incidents.fired(
                    record, alert.starts_at, alert.evaluated, alert.silent_since, alert.doubt
                )
            return incidents.resolved(record, alert.ends_at, proven=alert.proven)

        async with self._slots:
            record = self.ledger.record(field) if self.ledger else Record()
            another = alert.firing and not record.is_about(alert.silent_since, alert.doubt)
            if another and record.lapsed and record.owed is not None and alert.starts_at > record.owed:
                await self._believe(
                    field, record.owed
                )  # nobody said so, but the outage before this one is over
            await self._apply(field, change, partial(event, alert))

    async def _settle(self, ledger: Ledger) -> None:
        now = self._clock.monotonic()
        alive = self._watchdog.alive_since()
        if ledger.record(self._monitor).out or alive is None:
            self._unsound = now

        def sound_since(field: str) -> float | None:
            if alive is None:
                return None
            if field == self._monitor:  # while Healer itself is missing, its own return is awaited
                return max(alive, self._deaf)
            service = self._services.get(field.partition(":")[2])
            blind = self._standing.blind_until(service.bus, service.name, now) if service else 0.0
            return max(alive, self._deaf, self._unsound, blind)

        def heard_since(field: str) -> float | None:
            # What fired when this process began is told to it within one repeat interval.
            since = sound_since(field)
            return since and max(since, self._started + (self._standing.repeat or 0.0))

        missing = [field for field, record in ledger.records.items() if record.missing]
        for field in self._standing.lapsed(missing, now, self._watchdog.timeout, sound_since):
            if ledger.record(field).owed is not None:
                continue
            self._log.warning("nobody says any more that it is missing", svc=field.partition(":")[2])
            at = self._watchdog.beat or self._clock.wall()
            await self._apply(field, partial(incidents.lapsed, at=at), lambda _: None)
        owed = {field: record.owed for field, record in ledger.records.items() if record.owed is not None}
        for field, end in self._settling.due(owed, now, heard_since, self._patience):
            await self._believe(field, end)

    async def _believe(self, field: str, end: float) -> None:
        """Carry out the end owed of the record `field`, if it still is."""
        returned = partial(self._returned, field.partition(":")[2], end)
        event = self._pipeline if field == self._monitor else returned
        await self._apply(field, partial(incidents.settled, owed=end), event)

    def _patience(self, field: str) -> float:
        """Return the seconds until a dead service is late, and until that is sure to have been heard."""
        service = self._services.get(field.partition(":")[2]) if field.startswith("svc:") else None
        late = service.warmup + service.timeout if service else self._watchdog.timeout
        return late + self._watchdog.timeout

    async def _apply(
        self, field: str, change: Callable[[Record], Record], event: Callable[[Record], Event | None]
    ) -> None:
        if self.ledger is None:
            raise NotReadyError("no truth yet")
        published = await self.ledger.apply(field, change, event)
        if published is not None:
            self._published(published)
            self._log.info(
                "event published",
                type=type_of(published),
                svc=published.svc,
                message=encode(published).decode(),
            )

    def _heartbeat(self, alert: Alert, record: Record) -> Event | None:
        if not record.out:
            return self._returned(alert.svc, alert.ends_at, record)
        now = self._clock.wall()
        service = self._services.get(alert.svc)
        timeout = alert.timeout or (service.timeout if service else self._watchdog.timeout)
        return HeartbeatMiss(alert.svc, tenths(alert.late_at(now, timeout)), timeout, int(now))

    def _returned(self, svc: str, ends_at: float, _: Record) -> Event | None:
        if svc not in self._services:
            self._log.info(
                "incident closed without an event: the truth does not name the service any more", svc=svc
            )
            return None
        now = self._clock.wall()
        return HeartbeatOk(svc, tenths(now - ends_at), int(now))

    def _healer(self, alert: Alert, record: Record) -> Event | None:
        if not record.out:
            return self._pipeline(record)
        now = self._clock.wall()
        timeout = alert.timeout or self._watchdog.timeout
        return HealerMiss(self._name(), tenths(alert.late_at(now, timeout)), timeout, int(now))

    def _pipeline(self, record: Record) -> Event | None:
        now = int(self._clock.wall())
        if not record.out:
            return HealerOk(self._name(), now)
        return HealerMiss(self._name(), tenths(self._watchdog.late()), float(self._watchdog.timeout), now)

    def _name(self) -> str:
        return self._monitor.partition(":")[2]
