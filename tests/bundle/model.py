"""What a miss is, in plain Python: the promises of the rules, said a second time and in another way.

The rules compute with vectors and memories; this walks through one service's life with ifs. It was written from
the promises alone, so that agreement means something. It sees what Prometheus sees, and no more: the sightings
that scrapes brought, never the world itself.
"""

from __future__ import annotations

from dataclasses import dataclass

FUTURE = 5.0
"""Clocks are never quite alike: a stamp up to so many seconds ahead is taken as it is."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a service has promised, and how it is to be watched.

    Attributes:
        interval: Seconds between two beats.
        timeout: Seconds of silence that make it missing.
        own: Seconds of silence that make a replica's own beat late.
        fresh: Seconds after which a scrape says nothing about the present.
    """

    interval: float
    timeout: float
    own: float
    fresh: float

    @property
    def warmup(self) -> float:
        """Seconds that a replica must have watched before silence counts."""
        return min(self.timeout, max(2 * self.interval, 0.75 * self.timeout))

    @property
    def doubt(self) -> float:
        """Seconds by which two replicas' stamps of one beat may differ."""
        return min(self.own, self.timeout / 2)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one scrape of one replica said about one service and its bus. All are epoch seconds.

    Attributes:
        at: When it was scraped.
        last_seen: Receipt of the newest beat; 0 for none.
        watch_start: Since when the replica listens to the service without a break; 0 while it does not.
        own_beat: When the replica last heard its own beat on the service's bus; 0 for never.
        shown: Whether the replica shows the service on that bus at all.
    """

    at: float
    last_seen: float
    watch_start: float
    own_beat: float
    shown: bool = True


class Watcher:
    """One service over time: `evaluate` with what Prometheus holds just then, in order of time.

    Attributes:
        silent_since: The last beat (or, if there never was one, the beginning of the watch) of a missing service;
            None while it is not missing.
        known: Whether it may be called missing, unless it is already: among many services, one that is new to
            Prometheus is not known before that is written down.
    """

    def __init__(self, promise: Promise) -> None:
        self.promise = promise
        self.silent_since: float | None = None
        self.known = True
        self._heard: float | None = None

    def evaluate(self, now: float, sightings: list[Sighting]) -> float | None:
        """Take in what each replica last said, and return `silent_since`."""
        believed = [each for each in sightings if not self._clock_is_ahead(each)]
        self.hear(now, sightings)
        known = self.known or self.silent_since is not None
        self._recover()
        witnesses = [each for each in believed if self._can_testify_to_silence(now, each)]
        if witnesses and known and self.silent_since is None:
            self._judge(witnesses)
        return self.silent_since

    def write_down(self, *, shown: bool) -> None:
        """Get to know the service, for ever, if it was heard, is missing, or was `shown` to those who would know."""
        self.known = self.known or shown or self._heard is not None or self.silent_since is not None

    def shown(self, sighting: Sighting) -> bool:
        """Whether the replica shows the service, and is believed."""
        return sighting.shown and not self._clock_is_ahead(sighting)

    def hear(self, now: float, sightings: list[Sighting]) -> None:
        """Remember the newest beat of any replica, also of one that has just started; nobody unhears a beat.

        A single stamp from the future is a fault, and no beat.
        """
        for sighting in sightings:
            if not self._clock_is_ahead(sighting) and 0 < sighting.last_seen <= now + FUTURE:
                self._heard = max(self._heard or 0.0, sighting.last_seen)

    @staticmethod
    def _clock_is_ahead(sighting: Sighting) -> bool:
        """A replica that stamps its own beat with the future stamps the services' no better: it is not believed."""
        return sighting.own_beat - sighting.at > FUTURE

    def _recover(self) -> None:
        """A miss ends with a newer beat and with nothing else, not with another replica's stamp of the last one."""
        if self.silent_since is None or self._heard is None:
            return
        if self._heard - self.silent_since > self.promise.doubt:
            self.silent_since = None

    def _can_testify_to_silence(self, now: float, sighting: Sighting) -> bool:
        """Only who has just been asked, and proves by its own beat that it can hear."""
        asked = now - sighting.at <= self.promise.fresh
        hears = sighting.own_beat > 0 and sighting.at - sighting.own_beat <= self.promise.own
        return asked and hears

    def _judge(self, witnesses: list[Sighting]) -> None:
        """Silence reaches up to where every witness has looked: a beat may have come since the oldest scrape.

        It counts once a witness has listened for a whole warm-up. A service that was never heard is silent for as long
        as any of them listens.
        """
        observed = min(each.at for each in witnesses)
        listening = [each.watch_start for each in witnesses if each.watch_start > 0]
        if not listening or observed - min(listening) < self.promise.warmup:
            return
        if self._heard is None:
            self.silent_since = min(listening)
        elif observed - self._heard > self.promise.timeout:
            self.silent_since = self._heard


class Prometheus:
    """What Prometheus holds of one replica: the newest scrape, unless it failed or is too long ago.

    Args:
        lookback: Seconds after which a sample is forgotten.
        closed: Whether one of exactly that age is still held (Prometheus 2) or not (Prometheus 3).
    """

    def __init__(self, *, lookback: float = 300.0, closed: bool = True) -> None:
        self._lookback = lookback
        self._closed = closed
        self._at: float = 0.0
        self._sighting: Sighting | None = None

    def scraped(self, at: float, sighting: Sighting | None) -> None:
        """Take in a scrape; None for one that failed, or that no longer shows the service."""
        self._at, self._sighting = at, sighting

    def holds(self, now: float) -> Sighting | None:
        """Return what an evaluation at `now` sees."""
        age = now - self._at
        forgotten = age > self._lookback or (age == self._lookback and not self._closed)
        return None if forgotten else self._sighting
