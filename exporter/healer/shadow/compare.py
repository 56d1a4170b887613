"""Compares what two healers say of the same services, and judges by the beats that were heard who is right.

Nothing here listens or sleeps: whoever does so hands in beats and events with the time at which they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MISS, OK = "heartbeat_miss", "heartbeat_ok"
ITSELF = ("healer_miss", "healer_ok")
"""What a healer says of itself: the two are two, so these are counted and never compared."""
SLACK_SHARE = 0.05
"""Of the timeout: how much shorter a silence may have been here than where it was told, and still have been one."""


class Side(StrEnum):
    """Who said something."""

    OURS = "ours"
    THEIRS = "theirs"

    @property
    def other(self) -> Side:
        """The other one."""
        return Side.THEIRS if self is Side.OURS else Side.OURS


class Verdict(StrEnum):
    """Who is right, by the beats."""

    OURS = "ours is right"
    THEIRS = "theirs is right"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing in which the two differ.

    Attributes:
        at: When it was said (epoch seconds).
        svc: Of whom.
        what: What, such as `only theirs: heartbeat_miss`.
        verdict: Who is right.
        why: What tells so.
    """

    at: float
    svc: str
    what: str
    verdict: Verdict
    why: str


@dataclass(slots=True)
class _Said:
    side: Side
    kind: str
    at: float
    right: bool | None
    """Whether the beats bear it out; None: nobody can tell."""
    why: str
    timeout: float | None
    lone: bool = False
    """Reported already: the other side did not say so in time."""


@dataclass(slots=True)
class _Service:
    timeout: float
    bus: str
    beat: float | None = None
    silence: tuple[float, float] = (float("-inf"), float("-inf"))
    """The last silence beyond the timeout: when it began and ended."""
    told: dict[Side, float] = field(default_factory=dict)
    """When the silence began that a side told of last: it accounts for one miss and no more."""
    said: dict[Side, _Said] = field(default_factory=dict)
    """The newest of each side that the other has not matched."""
    state: dict[Side, str] = field(default_factory=dict)
    differs: bool = False


class Comparison:
    """What was said and heard so far.

    Attributes:
        events: How many events of a kind each side published.
        lags: Seconds by which ours came after theirs, of each event that both published, by kind.
        found: All disagreements so far.
        repeated: How often each side said again what it had said.
        unreadable: How many messages of each side were no event.
    """

    def __init__(self, services: Mapping[str, tuple[float, str]], within: float, start: float) -> None:
        """Make a comparison in which nothing was said yet.

        Args:
            services: Timeout in seconds and bus of each service.
            within: Seconds after which an event that the other side has not published is a disagreement.
            start: Now (epoch seconds).
        """
        self.events: dict[tuple[Side, str], int] = {}
        self.lags: dict[str, list[float]] = {MISS: [], OK: []}
        self.found: list[Disagreement] = []
        self.repeated = dict.fromkeys(Side, 0)
        self.unreadable = dict.fromkeys(Side, 0)
        self._services = {name: _Service(*each) for name, each in services.items()}
        self._within = within
        self._hearing = {bus: start for _, bus in services.values()}
        self._cut: dict[Side, float] = dict.fromkeys(Side, float("-inf"))
        self._out: dict[Side, float] = {}

    def beat(self, svc: str, at: float) -> None:
        """Take a beat."""
        service = self._services[svc]
        since = service.beat if service.beat is not None else self._hearing[service.bus]
        if at - since > (1 - SLACK_SHARE) * service.timeout and since >= self._hearing[service.bus]:
            service.silence = (since, at)
        service.beat = at

    def cut(self, bus: str, at: float) -> None:
        """Take that a bus is heard since now only: what was before proves nothing."""
        self._hearing[bus] = at

    def deaf(self, side: Side, at: float) -> None:
        """Take that events of a side may have been missed until now."""
        self._cut[side] = at

    def standing(self, side: Side, svc: str, kind: str) -> None:
        """Take what a side had said last, before this comparison began."""
        if svc in self._services and kind in {MISS, OK}:
            self._services[svc].state.setdefault(side, kind)

    def differences(self, at: float) -> list[Disagreement]:
        """Return what the two had said of a service before this comparison began, where it differs."""
        found = []
        for svc, service in sorted(self._services.items()):
            ours, theirs = (service.state.get(side, OK) for side in Side)
            if ours != theirs:
                found.append(
                    Disagreement(
                        at, svc, f"before we listened: ours {ours}, theirs {theirs}", Verdict.OPEN, ""
                    )
                )
        self.found += found
        return found

    def said(self, side: Side, event: Mapping[str, Any], at: float) -> list[Disagreement]:
        """Take an event; return the disagreements that it completes."""
        kind, svc = str(event.get("type")), str(event.get("svc"))
        if kind not in {MISS, OK, *ITSELF}:
            self.unreadable[side] += 1
            return []
        self.events[side, kind] = self.events.get((side, kind), 0) + 1
        if kind in ITSELF:
            if kind == ITSELF[0]:
                self._out[side] = at
            else:
                self._out.pop(side, None)
            return []
        service = self._services.get(svc)
        if service is None:
            return self._note(
                Disagreement(at, svc, f"only {side}: {kind}", Verdict.OPEN, "our truth does not watch it")
            )
        if service.state.get(side, OK) == kind:
            self.repeated[side] += 1
            return []
        service.state[side] = kind
        right, why = self._judge(service, side, kind, at)
        said = _Said(side, kind, at, right, why, _number(event.get("timeout_sec")))
        return self._note(*self._match(svc, service, said))

    def due(self, at: float) -> list[Disagreement]:
        """Return what one side said, and the other has not within the time that it has."""
        return self._note(
            *(
                self._lone(svc, said)
                for svc, service in sorted(self._services.items())
                for said in service.said.values()
                if not said.lone and at - said.at > self._within
            )
        )

    def undecided(self) -> int:
        """Return how many events the other side still has time to publish."""
        return sum(not said.lone for service in self._services.values() for said in service.said.values())

    def _note(self, *found: Disagreement) -> list[Disagreement]:
        self.found += found
        return list(found)

    def _match(self, svc: str, service: _Service, said: _Said) -> Iterator[Disagreement]:
        before = service.said.pop(said.side, None)
        if before is not None and not before.lone:
            yield self._lone(svc, before)  # it has said the contrary since, and the other side neither
        other = service.said.get(said.side.other)
        if other is None or other.kind != said.kind:
            # What the other says already, it need not say again: this side is back at it, or had it to catch up.
            if service.state.get(said.side.other, OK) != said.kind:
                service.said[said.side] = said
            return
        del service.said[said.side.other]
        ours, theirs = (said, other) if said.side is Side.OURS else (other, said)
        self.lags[said.kind].append(ours.at - theirs.at)
        if other.lone:
            why = f"{said.at - other.at:.1f} s after {other.side}"
            yield Disagreement(said.at, svc, f"{said.side} said {said.kind} late", Verdict.OPEN, why)
        if said.kind == MISS and ours.timeout != theirs.timeout and not service.differs:
            service.differs = True
            why = f"ours {_shown(ours.timeout)}, theirs {_shown(theirs.timeout)}"
            yield Disagreement(said.at, svc, "timeout_sec differs", Verdict.OPEN, why)

    def _lone(self, svc: str, said: _Said) -> Disagreement:
        said.lone = True
        silent = said.side.other
        why = said.why
        if silent in self._out:
            why += f"; {silent} was out itself: it had said {ITSELF[0]}"
        if said.at - self._within <= self._cut[silent]:
            verdict, why = Verdict.OPEN, f"{why}; we were cut off from the channel of {silent}"
        elif said.right is None:
            verdict = Verdict.OPEN
        else:
            verdict = Verdict((said.side if said.right else silent) + " is right")
        return Disagreement(said.at, svc, f"only {said.side}: {said.kind}", verdict, why)

    def _judge(self, service: _Service, side: Side, kind: str, at: float) -> tuple[bool | None, str]:
        """Return whether the beats bear out that a service is missing or back, and what they were."""
        since, heard = self._hearing[service.bus], service.beat
        limit = f"timeout {service.timeout:g} s"
        if heard is None or heard < since:
            silent = at - since
            if silent < (1 + SLACK_SHARE) * service.timeout:
                return None, f"we have listened to {service.bus} for {silent:.1f} s only"
            return kind == MISS, f"no beat in the {silent:.1f} s that we have listened, {limit}"
        age = at - heard
        if kind == OK:
            return age < service.timeout, f"the last beat came {age:.1f} s before, {limit}"
        began, ended = service.silence
        if at - ended < self._within and service.told.get(side) != began:
            service.told[side] = began
            why = f"it was silent for {ended - began:.1f} s, until {at - ended:.1f} s before, {limit}"
            return True, why
        service.told[side] = heard
        return age > (1 - SLACK_SHARE) * service.timeout, f"the last beat came {age:.1f} s before, {limit}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _shown(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds:g} s"
