"""What is known of one service, and how each thing heard changes it: pure functions from record to record.

An incident is told by its times, not by the order in which messages about it arrive: Alertmanager retries, a
pair of Alertmanagers delivers twice and out of step, and a stale message must not undo a newer one. All
instants are epoch seconds of Prometheus' clock and are compared only with each other.
"""

from __future__ import annotations

import math

import msgspec
from msgspec.structs import replace

STILL_SECONDS = 30.0
"""An alert seen firing so long after its end was believed has not ended; by less, two Prometheus may disagree."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one service, or of the monitor itself.

    Attributes:
        missing: An alert says that it is missing.
        since: When the newest incident known began.
        ended: When the newest incident known to be over ended.
        silence: When the silence began that the newest incident known is about; None: nobody said.
        owed: An end that was reported but not proven, or None: see `ended`.
        lapsed: That end is owed because nobody says any more that it is missing.
        silent: The pipeline itself is silent; of the monitor's record only.
        beat: The Watchdog evaluation heard last; of the monitor's record only.
    """

    missing: bool = False
    since: float = 0.0
    ended: float = 0.0
    silence: float | None = None
    owed: float | None = None
    lapsed: bool = False
    silent: bool = False
    beat: float | None = None

    @property
    def out(self) -> bool:
        """Whether it counts as missing: an event is published exactly when this changes."""
        return self.missing or self.silent

    def is_about(self, silence: float | None, doubt: float) -> bool:
        """Return whether a silence that began then, give or take `doubt`, is that of the newest incident known.

        Or one before it.
        """
        return silence is not None and self.silence is not None and silence < self.silence + doubt


def fired(
    record: Record,
    starts_at: float,
    evaluated: float | None = None,
    silence: float | None = None,
    doubt: float = 0.0,
) -> Record:
    """Return the record after an alert that fires since `starts_at` and was last seen firing at `evaluated`.

    A Prometheus that was restarted fires anew what it knew before, until it has scraped: its alert is younger than the end
    of the incident, but it is about the same `silence`, which began at the last beat, give or take `doubt` seconds.
    """
    seen = max(starts_at, evaluated or starts_at)
    known = record.silence if silence is None else max(silence, record.silence or silence)
    if record.missing:
        record = replace(record, since=max(record.since, starts_at), silence=known)
        refuted = record.owed is not None and seen > record.owed
        return replace(record, owed=None, lapsed=False) if refuted else record
    stale = starts_at < record.ended or record.is_about(silence, doubt)
    if stale and seen < record.ended + STILL_SECONDS:
        return record
    return replace(
        record, missing=True, since=starts_at, silence=known if silence is not None else None, owed=None
    )


def resolved(record: Record, ends_at: float, *, proven: bool) -> Record:
    """Return the record after an alert that ended at `ends_at`.

    An end before the newest incident began is old news. An end that is not proven stays owed. The proven end of
    an incident never heard of is noted, so that a late message of its beginning does not open it for good.
    """
    if not record.missing:
        return replace(record, ended=max(record.ended, ends_at)) if proven else record
    if ends_at <= record.since:
        return record
    if not proven:
        return replace(record, owed=max(record.owed or ends_at, ends_at))
    return replace(record, missing=False, ended=max(record.ended, ends_at), owed=None, lapsed=False)


def beaten(record: Record, beat: float, doubt: float) -> Record:
    """Return the record after it is known that the service beat at `beat`, give or take `doubt` seconds.

    A beat after the silence that the incident is about proves its end, whoever forgot to tell it.
    """
    if not record.missing or record.silence is None or record.is_about(beat, doubt):
        return record
    ended = max(record.ended, beat, math.nextafter(record.since, math.inf))
    return replace(record, missing=False, ended=ended, owed=None, lapsed=False)


def lapsed(record: Record, at: float) -> Record:
    """Return the record after nobody has said for long, as of `at`, that it is missing."""
    if not record.missing or record.owed is not None:
        return record
    return replace(record, owed=max(at, math.nextafter(record.since, math.inf)), lapsed=True)


def settled(record: Record, owed: float) -> Record:
    """Return the record after the end owed at `owed` is believed; unchanged if it is owed no more."""
    return resolved(record, owed, proven=True) if record.owed == owed else record


def silenced(record: Record, seen: float | None) -> Record:
    """Return the monitor's record after the pipeline fell silent, unless a beat other than `seen` was heard."""
    return replace(record, silent=True) if record.beat == seen else record


def heard(record: Record, beat: float) -> Record:
    """Return the monitor's record after a Watchdog evaluated at `beat`; the one heard last proves nothing."""
    return record if record.beat == beat else replace(record, silent=False, beat=beat)
