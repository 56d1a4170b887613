"""Decides whether an action may run: a state machine without a clock, a file or a process of its own.

Every gate is asked in one order, and the first that objects is the answer. What a request may change is changed
only when it passes; a refused one leaves no trace here, so that no flood of alerts can extend a cooldown.
Instants are seconds on any clock that does not step; only differences mean anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from healer.autoheal.policy import Backoff, Breaker

DUPLICATE_SECONDS = 300.0
"""Another delivery of an incident that was acted on less long ago is the same message again.

A retry, or the other Alertmanager of a pair. Later, the alert still fires and the action did not help.
"""

LONGEST_WAIT = 300.0
"""Seconds that a request waits for its turn; what it knew is old by then."""

MAX_TARGETS = 10_000
"""Targets remembered. Actions cannot reach it, for the breaker opens long before; rehearsals are forgotten."""


class Gate(StrEnum):
    """What can keep an action from running, in the order in which it is asked."""

    STATE = "state"
    DISABLED = "disabled"
    KILL_SWITCH = "kill_switch"
    NOT_FIRING = "not_firing"
    OWN_ALERT = "own_alert"
    RULE = "rule"
    IN_FLIGHT = "in_flight"
    DUPLICATE = "duplicate"
    COOLDOWN = "cooldown"
    BACKOFF = "backoff"
    CONCURRENCY = "concurrency"
    BREAKER = "breaker"
    DRY_RUN = "dry_run"


WAITING = frozenset({Gate.BACKOFF, Gate.CONCURRENCY})
"""What objects to beginning, and leaves what was admitted where it is, to be asked again."""


@dataclass(frozen=True, slots=True)
class Key:
    """What may happen once at a time: an action on a target."""

    action: str
    target: str


@dataclass(frozen=True, slots=True)
class Request:
    """An alert that a rule turned into an action. Durations are seconds.

    Attributes:
        id: Names this request in the record; no two share one.
        key: What is to be done to what.
        alert: Fingerprint of the alert's labels.
        incident: The same with the beginning of the alert, or empty if the alert has none.
        cooldown: The rule's.
        alertname: For the record.
        verify_for: The rule's.
        began: When the alert began to fire: an instant. None: not known, so it might be this moment.
        pending: The rule's.
    """

    id: str
    key: Key
    alert: str
    incident: str
    cooldown: float
    alertname: str = ""
    verify_for: float = 300.0
    began: float | None = None
    pending: float = 0.0


@dataclass(frozen=True, slots=True)
class Switches:
    """What stands outside of the machine and is read anew for every decision.

    Attributes:
        enabled: AUTOHEAL_ENABLED.
        dry_run: AUTOHEAL_DRY_RUN.
        killed: The kill switch is on, or nobody can tell.
        sound: The record can be written.
    """

    enabled: bool
    dry_run: bool
    killed: bool
    sound: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which gate objects, in words, and for how many more seconds (None: not by time)."""

    gate: Gate
    why: str
    seconds: float | None = None


@dataclass(slots=True)
class Past:
    """What is remembered of a key. Instants; None: never.

    Attributes:
        started: When the last attempt began.
        ended: When it ended.
        cooldown: Its cooldown in seconds.
        attempts: Attempts since the target was last healthy for long enough.
        alert: Fingerprint of the alert last acted on.
        incident: The incident last acted on.
        healthy: Since when that alert has been resolved.
        alertname: Of the alert last acted on.
        verify_until: When the alert has to have resolved, while that is being waited for.
    """

    started: float | None = None
    ended: float | None = None
    cooldown: float = 0.0
    attempts: int = 0
    alert: str = ""
    incident: str = ""
    healthy: float | None = None
    alertname: str = ""
    verify_until: float | None = None


@dataclass(slots=True)
class Gates:
    """The machine.

    Attributes:
        backoff: The policy's.
        breaker: The policy's.
        concurrency: The policy's.
        past: What is remembered, by key.
        held: Which request holds each key, from its acceptance to its end.
        running: The ids of those that are being carried out.
        starts: When the last actions began, oldest first.
        open_since: Since when the breaker has been open, or None.
    """

    backoff: Backoff
    breaker: Breaker
    concurrency: int
    past: dict[Key, Past] = field(default_factory=dict)
    held: dict[Key, Request] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    starts: deque[float] = field(default_factory=deque)
    open_since: float | None = None

    @classmethod
    def empty(cls) -> Self:
        """Return a machine without limits, to count with."""
        return cls(Backoff(), Breaker(), 1)

    def admit(self, plan: Request | Refusal, now: float, switches: Switches) -> Refusal | None:
        """Take a request in: it holds its key from now on, unless a gate objects.

        With `before_first` a wait that is over soon enough is no objection yet: `begin` asks for it again.

        Args:
            plan: The request, or why the policy makes none of the alert.
            now: The current instant.
            switches: As they are now.
        """
        if isinstance(plan, Refusal):
            return _outside(switches) or plan
        refusal = self._objection(plan, now, switches)
        if refusal is None:
            self.held[plan.key] = plan
        return refusal

    def begin(self, request: Request, now: float, switches: Switches) -> Refusal | None:
        """Begin what was admitted, unless a gate objects now: then the key is free again.

        What is in `WAITING` leaves the request where it is, to be asked again. One action too many opens the
        breaker. `DRY_RUN` books what would have happened, so that a rehearsal shows the same gates.
        """
        refusal = self._objection(request, now, switches, beginning=True)
        if refusal is None:
            self.start(request, now)
            return None
        if refusal.gate in WAITING:
            return refusal
        if refusal.gate is Gate.BREAKER and self.open_since is None and not switches.dry_run:
            self.open_since = now
        if refusal.gate is Gate.DRY_RUN:
            self._book(request, now).ended = now
            if len(self.past) > MAX_TARGETS:
                del self.past[next(iter(self.past))]
        self.release(request)
        return refusal

    def start(self, request: Request, at: float) -> None:
        """Note that a request runs since `at`; by itself only for what a record says has happened."""
        self._book(request, at)
        self.starts.append(at)
        self.held[request.key] = request
        self.running.add(request.id)

    def release(self, request: Request) -> None:
        """Free the key of a request that will not run."""
        holder = self.held.get(request.key)
        if holder is not None and holder.id == request.id:
            del self.held[request.key]

    def end(self, request: Request, now: float, *, verify: bool) -> bool:
        """Note the end of an attempt, whatever came of it.

        Args:
            request: What ended.
            now: When.
            verify: Whether it is to be seen if the alert resolves.

        Returns:
            Whether the alert had resolved already.
        """
        self.running.discard(request.id)
        self.release(request)
        past = self.past[request.key]
        past.ended = now
        if verify and past.healthy is None:
            past.verify_until = now + request.verify_for
        return verify and past.healthy is not None

    def resolved(self, key: Key, alert: str, at: float) -> float | None:
        """Note that an alert resolved at an instant.

        Returns:
            Seconds since the action began, if that is what was being waited for.
        """
        past = self.past.get(key)
        if past is None or past.started is None or past.alert != alert or at < past.started:
            return None
        if past.healthy is None:
            past.healthy = at
        waited, past.verify_until = past.verify_until is not None, None
        return at - past.started if waited else None

    def overdue(self, now: float) -> list[tuple[Key, Past]]:
        """Return the attempts whose alert did not resolve in time, each once."""
        late = [
            (key, past)
            for key, past in self.past.items()
            if past.verify_until is not None and past.verify_until <= now
        ]
        for _, past in late:
            past.verify_until = None
        return late

    def reset(self) -> bool:
        """Close the breaker and forget what it counted; return whether it was open."""
        was_open = self.open_since is not None
        self.open_since = None
        self.starts.clear()
        return was_open

    def cooldown(self, past: Past, now: float) -> float:
        """Return the seconds for which cooldown holds a key back."""
        return 0.0 if past.started is None else max(0.0, past.started + past.cooldown - now)

    def wait(self, past: Past, attempts: int, now: float, began: float | None = None) -> float:
        """Return the seconds for which backoff holds a key back after that many `attempts`.

        Args:
            past: Of the key.
            attempts: Those that count.
            now: The current instant.
            began: When the alert began to fire, if there is one.
        """
        marks = (past.started, past.ended, began if self.backoff.before_first else None)
        since = max((mark for mark in marks if mark is not None), default=None)
        return 0.0 if since is None else max(0.0, since + self.backoff.delay(attempts) - now)

    def left(self, request: Request, now: float) -> float:
        """Return the seconds for which backoff holds a request back."""
        past = self.past.get(request.key, Past())
        return self.wait(past, self._attempts(past, request, now), now, _began(request, now))

    def _objection(
        self, request: Request, now: float, switches: Switches, *, beginning: bool = False
    ) -> Refusal | None:
        refusal = _outside(switches) or self._by_past(request, now)
        if refusal is not None and (beginning or not self._over_soon(refusal)):
            return refusal
        if beginning and len(self.running) >= self.concurrency:
            return Refusal(Gate.CONCURRENCY, f"{len(self.running)} actions are running already")
        if self.open_since is not None:
            return Refusal(Gate.BREAKER, "the breaker is open until an operator resets it")
        if not beginning:
            return None
        while self.starts and now - self.starts[0] >= self.breaker.window:
            self.starts.popleft()
        if len(self.starts) >= self.breaker.actions:
            why = (
                f"{len(self.starts)} actions ran within {self.breaker.window:g} s; nothing runs until a reset"
            )
            return Refusal(Gate.BREAKER, why)
        return Refusal(Gate.DRY_RUN, "this is a dry run") if switches.dry_run else None

    def _by_past(self, request: Request, now: float) -> Refusal | None:
        holder = self.held.get(request.key)
        if holder is not None and holder.id != request.id:
            return Refusal(Gate.IN_FLIGHT, "an action on this target is waiting or running")
        past = self.past.get(request.key, Past())
        same = bool(request.incident) and request.incident == past.incident
        if same and past.healthy is not None:
            return Refusal(Gate.DUPLICATE, "this incident is over; its message came late")
        waits = (
            (
                Gate.DUPLICATE,
                (past.started or 0.0) + DUPLICATE_SECONDS - now if same else 0.0,
                "this incident was acted on",
            ),
            (
                Gate.COOLDOWN,
                self.cooldown(past, now),
                f"the last attempt began less than {past.cooldown:g} s ago",
            ),
            (
                Gate.BACKOFF,
                self.left(request, now),
                f"attempts since the target was healthy: {past.attempts}",
            ),
        )
        return next((Refusal(gate, why, left) for gate, left, why in waits if left > 0), None)

    def _over_soon(self, refusal: Refusal) -> bool:
        """Return whether waiting is all that is asked for, and what is known is not old when it is over."""
        return (
            self.backoff.before_first
            and refusal.gate is Gate.BACKOFF
            and refusal.seconds is not None
            and refusal.seconds <= LONGEST_WAIT
        )

    def _attempts(self, past: Past, request: Request, now: float) -> int:
        """Return the attempts that count: none if the target was healthy for a whole delay since."""
        if past.healthy is None:
            return past.attempts
        sick = _began(request, now) - request.pending
        return 0 if sick - past.healthy >= self.backoff.delay(past.attempts) else past.attempts

    def _book(self, request: Request, now: float) -> Past:
        past = self.past.setdefault(request.key, Past())
        past.attempts = self._attempts(past, request, now) + 1
        past.started, past.ended, past.healthy, past.verify_until = now, None, None, None
        past.cooldown, past.alert, past.incident = request.cooldown, request.alert, request.incident
        past.alertname = request.alertname
        return past


def _began(request: Request, now: float) -> float:
    return now if request.began is None else min(now, request.began)


def _outside(switches: Switches) -> Refusal | None:
    if not switches.sound:
        return Refusal(Gate.STATE, "the record cannot be read or written, so nothing may run")
    if not switches.enabled:
        return Refusal(Gate.DISABLED, "AUTOHEAL_ENABLED is false")
    if switches.killed:
        return Refusal(Gate.KILL_SWITCH, "the kill switch is on")
    return None
