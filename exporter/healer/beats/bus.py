"""One Redis bus: subscribe to its channels, hear beats, notice silence that is not the services', come back.

A subscription that says nothing proves nothing: a half-open connection raises no error. The listener
therefore publishes its own beat over a second connection and must hear it back within the `Cadence` of the
bus; if not, the bus is deaf: it shows as down, nothing on it counts as watched, and the connection is made anew.
Where a bus has several servers that services may publish through, an own beat has to come back through each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError

from healer.beats.cadence import Cadence
from healer.beats.decode import MALFORMED, MAX_BYTES, exact
from healer.beats.faults import DeafError, Faults, MovedError
from healer.beats.keys import KeyPoll
from healer.beats.pulse import Loopback, Pulse
from healer.beats.wire import Wire
from healer.runtime.log import Throttle
from healer.runtime.place import Node, by_slot, locate, place_of
from healer.runtime.redact import safe_url
from healer.runtime.replies import strange
from healer.runtime.tasks import first_to_fail
from healer.truth.model import Source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from healer.beats.board import Slot
    from healer.beats.decode import Invalid
    from healer.beats.pulse import Identity
    from healer.runtime.clock import Clock
    from healer.truth.model import Bus

REST_SECONDS = 0.02
"""How long beats may gather between two reads: a wake-up costs more than a beat."""

BUSY_BYTES = 1 << 17
"""So much at a time says that more is waiting: no rest then, or it would be the bottleneck."""

MOST_FAILURES = 10
"""Failures from which on the pauses grow no more."""

UNUSUAL = (*MALFORMED, TypeError, ValueError)
"""What a reply raises that is no message, or none with a beat."""

COMPLAINT_SECONDS = 60.0
"""A bus that stays away, or keeps carrying messages that are no beats, is logged this often at most."""

FOLLOW_SECONDS = 1.0
"""How often it is asked whether the master, or a cluster's masters, are still the same."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one subscribes: the commands, and the kinds of what comes back."""

    subscribe: str
    unsubscribe: str
    publish: str
    message: bytes
    subscribed: bytes
    unsubscribed: bytes


PLAIN = Dialect("SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", b"message", b"subscribe", b"unsubscribe")
SHARDED = Dialect("SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH", b"smessage", b"ssubscribe", b"sunsubscribe")


class BusListener:
    """Keeps one bus subscribed, whatever happens to it; a `healer.beats.source.Source`.

    Attributes:
        bus: The bus, as the truth names it.
        identity: Who beats back to itself here.
        reconnects: Connections made after the first.
        loopback: When the own beat was last heard back (monotonic), or None.
        active: When the listener last did something, if only fail to connect (monotonic).
        faults: What ended or prevented the hearing.
        nodes: The servers that own beats last went through; the first is listened to.
    """

    def __init__(
        self,
        bus: Bus,
        identity: Identity,
        clock: Clock,
        *,
        dialect: Dialect = PLAIN,
        nodes: Callable[[], Awaitable[tuple[Node, ...]]] | None = None,
    ) -> None:
        """Prepare to listen.

        Args:
            bus: The bus.
            identity: Who beats back to itself here.
            clock: Gives the instants of everything.
            dialect: Plain or sharded messages.
            nodes: Finds the servers to beat through, the first of which is listened to; None: asks the bus's URL.
        """
        self.bus = bus
        self.identity = identity
        self.reconnects = 0
        self.loopback: float | None = None
        self.active = clock.monotonic()
        self.faults = Faults()
        self.nodes: tuple[Node, ...] = ()
        self._up = False
        self._clock = clock
        self._dialect = dialect
        self._locate = nodes or (lambda: locate(bus.url))
        self._fixed = nodes is not None or place_of(bus.url).kind in {"redis", "unix"}
        self._slots: dict[str, Slot] = {}
        self._keys: dict[str, Slot] = {}
        self._sinks: dict[bytes, Slot | Loopback] = {}
        self._carried: dict[bytes, Slot] = {}
        self._cadence = Cadence(1.0, 2.0)
        self._steer = asyncio.Event()
        self._hurry = asyncio.Event()
        self._connected_before = False
        self._pulses: list[Pulse] = []
        self._heard: dict[str, float] = {}
        self._proven: set[str] = set()
        self._down_since: float | None = clock.monotonic()
        self._throttle = Throttle(clock, COMPLAINT_SECONDS)
        self._log = structlog.get_logger(component="bus", bus=bus.name, url=safe_url(bus.url))

    @property
    def up(self) -> bool:
        """Connected, subscribed, and the own beat was heard within the cadence.

        Asked of the clock, not of the last check: after a stall of ours a scrape may be answered before the check.
        """
        if not self._up:
            return False
        return self._clock.monotonic() - min(self._heard.values()) <= self._cadence.deaf_after

    def assign(self, slots: Mapping[str, Slot], cadence: Cadence) -> None:
        """Listen to exactly the channels of `slots`, by channel.

        Only the difference is subscribed and unsubscribed; what stays is not interrupted.
        """
        for channel, slot in slots.items():
            before = self._slots.get(channel)
            if before is not None and before is not slot:
                slot.since = None if before.since is None else self._clock.monotonic()
        self._slots = dict(slots)
        self._keys = {name: slot for name, slot in slots.items() if slot.service.source is Source.KEY}
        own = self.identity.channel
        self._carried = {
            channel.encode(): slot
            for channel, slot in slots.items()
            if channel not in self._keys and channel != own
        }
        self._sinks = {**self._carried, own.encode(): Loopback(self._prove, slots.get(own))}
        if cadence.deaf_after < self._cadence.deaf_after:
            # The beat under way keeps the old, slower rhythm: only the next can be late by the new one.
            now = self._clock.monotonic()
            self._heard = {replica: max(heard, now) for replica, heard in self._heard.items()}
        self._cadence = cadence
        self._hurry.set()
        self._steer.set()

    async def run(self) -> None:
        """Hold the subscription until cancelled; every failure is logged, waited out and tried again."""
        backoff = EqualJitterBackoff(cap=5.0, base=0.1)
        failures = 0
        while True:
            was_up = False
            try:
                await self._session()
            except (RedisError, OSError, UnicodeError, DeafError, MovedError) as error:
                was_up = self._up
                self._lost(error)
            except Exception as error:  # noqa: BLE001  # a fault of ours: it must not deafen the other buses too
                was_up = self._up
                held = self._throttle.admit("fault")
                if held is not None:
                    self._log.exception("internal error; please report it", more_like_it=held)
                self._lost(error)
            finally:
                self.close_eyes()
            failures = 0 if was_up else failures + 1
            # redis-py's backoff is a power of the count: an outage of an hour would overflow it.
            await asyncio.sleep(backoff.compute(min(failures, MOST_FAILURES)))

    async def _session(self) -> None:
        """Connect, subscribe and listen, until something fails."""
        nodes = self.nodes = await self._locate()
        wire = await Wire.connect(nodes[0].url)
        try:
            if self._connected_before:
                self.reconnects += 1
            self._connected_before = True
            who = [self.identity.through(number) for number in range(len(nodes))]
            self._heard = {identity.replica: self._clock.monotonic() for identity in who}
            self._proven = set()
            self._pulses = [
                Pulse(node.url, identity, self._clock, self._dialect.publish)
                for node, identity in zip(nodes, who, strict=True)
            ]
            polls = KeyPoll(nodes, lambda: (self._keys, self._cadence), self._clock)
            await first_to_fail(
                self._read(wire),
                self._follow(wire),
                self._guard(),
                self._stay(nodes),
                polls.run(),
                *(pulse.run(lambda: self._cadence.period, self._hurry) for pulse in self._pulses),
            )
        finally:
            await wire.close()

    async def _stay(self, nodes: tuple[Node, ...]) -> None:
        """Raise `MovedError` once other servers are the masters: services publish there by then."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            if self._fixed:
                continue
            try:
                now = await self._locate()
            except (RedisError, OSError, UnicodeError):
                continue  # that those who know are away says nothing about the bus
            if now != nodes:
                raise MovedError(f"now at {', '.join(safe_url(node.url) for node in now)}")

    async def _read(self, wire: Wire) -> None:
        """Take in what the bus sends, a batch at a time; after a small one, let the next gather."""
        while True:
            replies = await wire.read()
            now, wall = self._clock.monotonic(), self._clock.wall()
            # What arrives after a stall, ours or the network's, is a backlog: taken for fresh, it would hide a
            # death. It is left unread; the new connection starts with what is published from then on.
            self._check_hearing(now, "and what arrives may be old")
            self._take(replies, now, wall)
            if wire.arrived < BUSY_BYTES:
                await wire.rest(REST_SECONDS)
            else:
                await asyncio.sleep(0)

    def _take(self, replies: Iterator[Any], now: float, wall: float) -> None:
        """Carry out `replies`. A beat that follows the one before costs no call of ours: this is the hottest loop there is."""
        slot_of = self._carried.get
        for reply in replies:
            try:
                _, channel, payload = reply
                slot = slot_of(channel)
                if (
                    slot is not None
                    and type(payload) is bytes  # as it is in messages only
                    and len(payload) <= MAX_BYTES
                    and (i := (beat := exact(payload)).i) == slot.expected
                    and i is not None
                    and beat.svc == slot.name
                    and beat.ts is not None
                ):  # what `Slot.take` does with it
                    slot.last = now
                    slot.skew = wall - beat.ts
                    slot.expected = i + 1
                    continue
            except UNUSUAL:
                pass  # what is wrong with it, if anything, is found below
            self._attend(reply, now, wall)

    def _attend(self, reply: Any, now: float, wall: float) -> None:
        """Carry out a reply of any kind."""
        try:
            kind, channel, payload = reply
            sink = self._sinks.get(channel)
        except (TypeError, ValueError):
            raise strange(reply) from None
        if sink is None:
            return
        if kind == self._dialect.message and type(payload) is bytes:
            reason = sink.hear(payload, now, wall)
            if reason is not None:
                self._complain(channel, reason, len(payload))
        elif kind == self._dialect.subscribed:
            sink.listen(now)
        elif kind == self._dialect.unsubscribed and self._dialect is SHARDED:
            raise MovedError(f"the shard gave up {channel.decode(errors='replace')}")

    def _complain(self, channel: bytes, reason: Invalid, size: int) -> None:
        held = self._throttle.admit("invalid")
        if held is not None:
            text = channel.decode(errors="replace")
            self._log.warning(
                "message is no beat", channel=text, reason=reason.value, bytes=size, more_like_it=held
            )

    def _prove(self, replica: str, now: float) -> None:
        """Note that an own beat came back: the bus carries, and we hear."""
        if replica not in self._heard:
            return
        self._heard[replica] = now
        if not self._up:
            self._proven.add(replica)
            if len(self._proven) < len(self._heard):
                return
        self.loopback = min(self._heard.values())
        if self._up:
            return
        self._up = True
        away = 0.0 if self._down_since is None else now - self._down_since
        self._down_since = None
        self._log.info("hearing", channels=len(self._slots), after_sec=round(away, 1))

    async def _follow(self, wire: Wire) -> None:
        """Subscribe what was assigned, now and whenever the assignment changes."""
        known: dict[bytes, Slot | Loopback] = {}
        while True:
            self._steer.clear()
            wanted = self._sinks
            # A channel whose sink is new is subscribed again, even if it never was let go: the confirmation is
            # what tells the sink that it is listened to.
            fresh = {channel for channel, sink in wanted.items() if known.get(channel) is not sink}
            own = {self.identity.channel.encode()} & fresh
            await self._send(wire, self._dialect.unsubscribe, known.keys() - wanted.keys())
            # The own channel comes first: hearing has to be proven while a long list is still under way.
            await self._send(wire, self._dialect.subscribe, own)
            await self._send(wire, self._dialect.subscribe, fresh - own)
            known = wanted
            await self._steer.wait()

    async def _send(self, wire: Wire, command: str, channels: Iterable[bytes]) -> None:
        if self._dialect is PLAIN:
            await wire.send(command, channels)
        else:
            groups = by_slot(channel.decode() for channel in channels)
            await wire.send_apart(command, ([name.encode() for name in group] for group in groups))

    async def _guard(self) -> None:
        """Raise `DeafError` as soon as an own beat has not been heard for too long."""
        while True:
            await asyncio.sleep(self._cadence.period / 2)
            self.active = self._clock.monotonic()
            self._check_hearing(self.active, "published, but not delivered")

    def _check_hearing(self, now: float, reason: str) -> None:
        silence = now - min(self._heard.values())
        if silence > self._cadence.deaf_after:
            cause = next((pulse.error for pulse in self._pulses if pulse.error is not None), None)
            if cause is not None:
                reason = f"{type(cause).__name__}: {cause}"
            raise DeafError(f"own beat not heard back for {silence:.1f} s ({reason})", cause)

    def _lost(self, error: Exception) -> None:
        self.active = self._clock.monotonic()
        reason = self.faults.note(error).value
        if self._down_since is None:
            self._down_since = self.active
        if self._up:
            self._throttle.admit("away")
            self._log.warning("lost", reason=reason, error=str(error) or type(error).__name__)
        elif self._throttle.admit("away") is not None:
            away = self.active - self._down_since
            self._log.warning(
                "cannot hear",
                reason=reason,
                error=str(error) or type(error).__name__,
                down_sec=round(away, 1),
            )

    def let_go(self) -> None:
        """Leave the slots to another listener: whatever this one still does touches them no more."""
        self.close_eyes()
        self._slots, self._sinks, self._carried, self._keys = {}, {}, {}, {}

    def close_eyes(self) -> None:
        """Show the bus as down and nothing on it as watched."""
        self._up = False
        for slot in self._slots.values():
            slot.since = None
