"""A world to watch: services that live and die, replicas of an exporter, buses, clocks; and what a scrape shows of it.

`Replica` does what docs/metrics.md says of the exporter, without a network: it loses buses and notices in its own
time, forgets everything when it restarts, and moves all its stamps together when its clock steps. Times are
seconds from the beginning of the world; all are quarters, which floats hold exactly. Stamps are epoch seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

DAWN = 45
"""When a world begins, in epoch seconds: 0 is never, and must look long ago from the first moment."""

RECONNECT = 0.5
"""Seconds from the return of a bus to being subscribed again."""

BUSES = ("one", "two")


@dataclass(frozen=True, slots=True)
class Pace:
    """What a whole batch of worlds shares: how often rules are evaluated, for how long, and what services promise.

    Attributes:
        apart: By how many seconds the stamps may differ that replicas give to one beat; at 0 no clock steps either.
    """

    name: str
    evaluation: int
    horizon: int
    own_interval: float
    own_timeout: float
    scrapes: tuple[int, ...]
    promises: tuple[tuple[float, float], ...]
    apart: float = 0.25


BRISK = Pace("brisk", 1, 60, 2.0, 6.0, (1, 2, 3), ((1.0, 3.0), (1.0, 4.0), (2.0, 6.0), (3.0, 4.0)))
USUAL = Pace(
    "usual", 5, 240, 10.0, 30.0, (1, 5, 10, 30), ((10.0, 30.0), (5.0, 20.0), (10.0, 15.0), (2.0, 40.0))
)
SLOW = Pace("slow", 15, 840, 10.0, 30.0, (15, 30), ((10.0, 30.0), (30.0, 90.0), (60.0, 75.0)))


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` up to, not including, `end`."""

    start: float
    end: float

    def holds(self, time: float) -> bool:
        return self.start <= time < self.end


@dataclass(frozen=True, slots=True)
class Cut:
    """A bus that carries nothing; `frozen`: the connection looks alive, and only the own beat tells."""

    bus: str
    span: Span
    frozen: bool


@dataclass(frozen=True, slots=True)
class Service:
    """A service that beats every `interval` while it lives, up to `jitter` late."""

    name: str
    bus: str
    interval: float
    timeout: float
    lives: tuple[Span, ...]
    jitter: tuple[float, ...]

    def beats(self) -> list[float]:
        times = []
        for life in self.lives:
            count = 0
            while (
                time := life.start + count * self.interval + self.jitter[count % len(self.jitter)]
            ) < life.end:
                times.append(time)
                count += 1
        return times


@dataclass(frozen=True, slots=True)
class Life:
    """What happens to one replica, and to its scrapes.

    Attributes:
        phase: Its first scrape; `World.scrape` seconds between two.
        up: While its process runs.
        failures: While scrapes fail though the process runs.
        gaps: While Prometheus does not scrape, and leaves no trace of that.
        cuts: While it alone is cut off a bus.
        steps: When its wall clock steps, and by how much.
        old_truth: Until then its truth has every service on the other bus.
        ghosts: Somebody beats there in the name of the services.
        lag: Seconds by which it hears everything late.
    """

    phase: int
    up: tuple[Span, ...]
    failures: tuple[Span, ...] = ()
    gaps: tuple[Span, ...] = ()
    cuts: tuple[Cut, ...] = ()
    steps: tuple[tuple[float, float], ...] = ()
    old_truth: float = 0.0
    ghosts: bool = False
    lag: float = 0.0


@dataclass(frozen=True)
class World:
    """Services, the replicas that watch them, and what happens to the buses for everybody."""

    pace: Pace
    scrape: int
    services: tuple[Service, ...]
    replicas: tuple[Life, ...]
    stops: tuple[Cut, ...] = ()

    @cached_property
    def scrapes(self) -> list[list[Scrape]]:
        """What Prometheus gets from each replica, in order of time."""
        return [Replica(self, life).scrapes() for life in self.replicas]


@dataclass(frozen=True, slots=True)
class Shown:
    """One service at one scrape, under the bus that the replica's truth says, in epoch seconds."""

    bus: str
    last_seen: float
    watch_start: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape; a failed one shows nothing.

    Attributes:
        at: When.
        services: By name.
        buses: Own beat last heard, and whether the bus is up, by bus.
    """

    at: float
    services: dict[str, Shown] | None
    buses: dict[str, tuple[float, bool]] = field(default_factory=dict)


@dataclass
class Session:
    """One subscription: known to last from `start` to `end`, hearing until `deaf`, late by `lag` and in `pauses`."""

    start: float
    end: float
    deaf: float
    lag: float
    pauses: list[Span] = field(default_factory=list)

    def receipt(self, sent: float) -> float | None:
        if not self.start <= sent < self.deaf:
            return None
        received = self.lag + next((pause.end for pause in self.pauses if pause.holds(sent)), sent)
        return received if received < self.end else None


class Replica:
    """One exporter through its life."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life

    def scrapes(self) -> list[Scrape]:
        runs = [Run(self._world, self._life, up) for up in self._life.up]
        taken = []
        for at in range(self._life.phase, self._world.pace.horizon, self._world.scrape):
            if any(gap.holds(at) for gap in self._life.gaps):
                continue
            run = next((run for run in runs if run.span.holds(at)), None)
            failed = run is None or any(failure.holds(at) for failure in self._life.failures)
            taken.append(Scrape(at, None) if failed or run is None else run.scrape(at))
        return taken


class Run:
    """One process of a replica, from start to crash: all it knows is of its own time."""

    def __init__(self, world: World, life: Life, span: Span) -> None:
        self.span = span
        self._world = world
        self._life = life
        self._sessions = {bus: self._connect(bus) for bus in BUSES}
        self._own = {bus: self._own_beats(bus) for bus in BUSES}
        self._heard = {
            (service.name, bus): self._receipts(service, bus) for service in world.services for bus in BUSES
        }

    def scrape(self, at: float) -> Scrape:
        offset = sum(step for time, step in self._life.steps if time <= at)

        def stamp(instant: float | None) -> float:
            return 0.0 if instant is None else DAWN + instant + offset

        old = at < self._life.old_truth
        services = {}
        for service in self._world.services:
            bus = other(service.bus) if old else service.bus
            since = self._since(bus, at)
            if since is not None and not old:
                since = max(since, self._life.old_truth)
            last = newest(self._heard[service.name, bus], at)
            services[service.name] = Shown(bus, stamp(last), stamp(since))
        buses = {bus: (stamp(newest(self._own[bus], at)), self._since(bus, at) is not None) for bus in BUSES}
        return Scrape(at, services, buses)

    def _since(self, bus: str, at: float) -> float | None:
        return next((each.start for each in self._sessions[bus] if each.start <= at < each.end), None)

    def _cadence(self, bus: str) -> tuple[float, float]:
        """How often it beats to itself, and after which silence it calls itself deaf."""
        on_bus = [each for each in self._world.services if each.bus == bus]
        slack = min(
            (each.timeout - each.interval for each in on_bus), default=4 * self._world.pace.own_interval
        )
        period = min(self._world.pace.own_interval, slack / 4)
        return period, 2 * period + 0.25

    def _connect(self, bus: str) -> list[Session]:
        _, deaf_after = self._cadence(bus)
        cuts = merged([cut for cut in (*self._life.cuts, *self._world.stops) if cut.bus == bus])
        sessions: list[Session] = []
        ready = self.span.start + RECONNECT
        session: Session | None = None
        for cut in cuts:
            if cut.span.end <= ready:
                continue
            if session is None and ready < cut.span.start:
                session = Session(ready, self.span.end, self.span.end, self._life.lag)
                sessions.append(session)
            if session is None:
                ready = cut.span.end + RECONNECT
                continue
            if cut.frozen and cut.span.end - cut.span.start <= deaf_after:
                session.pauses.append(cut.span)
                continue
            session.deaf = cut.span.start
            session.end = min(session.end, cut.span.start + (deaf_after if cut.frozen else 0))
            ready = max(cut.span.end, session.end) + RECONNECT
            session = None
        if session is None and ready < self.span.end:
            sessions.append(Session(ready, self.span.end, self.span.end, self._life.lag))
        return [each for each in sessions if each.start < self.span.end]

    def _own_beats(self, bus: str) -> list[float]:
        period, _ = self._cadence(bus)
        heard = []
        for session in self._sessions[bus]:
            count = int((min(session.deaf, self._world.pace.horizon) - session.start) / period) + 1
            received = (session.receipt(session.start + index * period) for index in range(count))
            heard += [each for each in received if each is not None]
        return heard

    def _receipts(self, service: Service, bus: str) -> list[float]:
        if bus != service.bus and not self._life.ghosts:
            return []
        received = [session.receipt(beat) for session in self._sessions[bus] for beat in service.beats()]
        # A truth that moves the service to this bus subscribes it anew: what came before was not for this slot.
        return [
            each
            for each in received
            if each is not None and (bus != service.bus or each >= self._life.old_truth)
        ]


def other(bus: str) -> str:
    return BUSES[1 - BUSES.index(bus)]


def newest(times: list[float], at: float) -> float | None:
    index = bisect_right(times, at)
    return times[index - 1] if index else None


def merged(cuts: list[Cut]) -> list[Cut]:
    """Cuts that overlap are one, of the first one's kind."""
    result: list[Cut] = []
    for cut in sorted(cuts, key=lambda each: (each.span.start, each.span.end)):
        if result and cut.span.start <= result[-1].span.end:
            before = result[-1]
            end = max(before.span.end, cut.span.end)
            result[-1] = Cut(cut.bus, Span(before.span.start, end), before.frozen)
        else:
            result.append(cut)
    return result
