"""Incidents are told by their times: whatever arrives twice, late or out of step, each change happens once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from healer.sentinel.incidents import Record, beaten, fired, heard, resolved, settled, silenced

MISSING = Record(missing=True, since=100.0)


def test_an_incident_begins_and_ends() -> None:
    begun = fired(Record(), 100.0)
    assert begun.out
    ended = resolved(begun, 150.0, proven=True)
    assert not ended.out
    assert ended.ended == 150.0


def test_a_repeated_firing_changes_nothing() -> None:
    assert fired(MISSING, 100.0) == MISSING


def test_a_firing_of_the_incident_that_is_over_is_stale() -> None:
    over = resolved(MISSING, 150.0, proven=True)
    assert fired(over, 100.0) == over


def test_an_alert_seen_firing_long_after_its_end_was_believed_has_not_ended() -> None:
    over = resolved(MISSING, 150.0, proven=True)
    assert fired(over, 100.0, evaluated=160.0) == over
    assert fired(over, 100.0, evaluated=200.0).out


def test_an_end_from_before_the_newest_incident_is_stale() -> None:
    newer = fired(MISSING, 200.0)
    assert resolved(newer, 150.0, proven=True) == newer


def test_an_alert_that_changed_its_labels_goes_on() -> None:
    # In one evaluation the alert with the old labels ends and the one with the new labels begins.
    assert resolved(fired(MISSING, 150.0), 150.0, proven=True).out
    assert fired(resolved(MISSING, 150.0, proven=True), 150.0).out


def test_the_end_of_an_incident_never_heard_of_closes_it_for_good() -> None:
    ended = resolved(Record(), 150.0, proven=True)
    assert not ended.out
    assert not fired(ended, 100.0).out
    assert fired(ended, 200.0).out


def test_the_expiry_of_an_incident_never_heard_of_closes_nothing() -> None:
    assert fired(resolved(Record(), 150.0, proven=False), 100.0).out


def test_an_unproven_end_is_owed_until_settled() -> None:
    owed = resolved(MISSING, 150.0, proven=False)
    assert owed.out
    assert owed.owed == 150.0
    assert not settled(owed, 150.0).out


def test_an_end_owed_no_more_is_not_settled() -> None:
    refired = fired(resolved(MISSING, 150.0, proven=False), 100.0, evaluated=180.0)
    assert refired.owed is None
    assert settled(refired, 150.0).out


def test_a_stale_firing_does_not_cancel_what_is_owed() -> None:
    owed = resolved(MISSING, 150.0, proven=False)
    assert fired(owed, 100.0, evaluated=140.0) == owed


def test_a_proven_end_overtakes_an_unproven_one() -> None:
    owed = resolved(MISSING, 190.0, proven=False)
    assert not resolved(owed, 150.0, proven=True).out


def test_healer_is_out_for_either_reason_and_back_when_both_are_over() -> None:
    record = heard(Record(), 10.0)
    record = silenced(record, 10.0)
    record = fired(record, 100.0)
    assert record.out
    record = heard(record, 20.0)
    assert record.out
    assert not resolved(record, 150.0, proven=True).out


def test_a_silence_that_another_sentinel_heard_broken_is_none() -> None:
    assert not silenced(heard(heard(Record(), 10.0), 20.0), 10.0).out


def test_the_beat_heard_last_does_not_end_a_silence() -> None:
    silent = silenced(heard(Record(), 10.0), 10.0)
    assert heard(silent, 10.0).out
    assert not heard(silent, 20.0).out


# ---- against a model: a service that dies and returns, and messages that come twice, late and out of step ----


@st.composite
def histories(draw) -> tuple[list[tuple[float, float]], list[tuple[str, int]]]:
    """Draw incidents as `(start, end)`, and deliveries of them as `(what, which)`, in an order that can occur.

    Each Alertmanager sends an incident's beginning before its end and incidents in order; two of them interleave
    freely, and each message may come several times in a row.
    """
    edges = draw(st.lists(st.integers(1, 50), min_size=2, max_size=12))
    instants, now = [], 0
    for gap in edges:
        now += gap
        instants.append(float(now))
    incidents = list(zip(instants[::2], instants[1::2], strict=False))
    truth = [(what, which) for which in range(len(incidents)) for what in ("fired", "resolved")]

    def stream() -> list[tuple[str, int]]:
        return [message for message in truth for _ in range(draw(st.integers(1, 3)))]

    one, two = stream(), stream()
    merged = []
    while one or two:
        source = one if not two or (one and draw(st.booleans())) else two
        merged.append(source.pop(0))
    return incidents, merged


def play(record: Record, message: tuple[str, int], incidents: list[tuple[float, float]]) -> Record:
    what, which = message
    start, end = incidents[which]
    return fired(record, start) if what == "fired" else resolved(record, end, proven=True)


@given(histories())
def test_two_alertmanagers_out_of_step_make_each_change_at_most_once_and_in_order(history) -> None:
    incidents, deliveries = history
    record, changes = Record(), []
    for message in deliveries:
        after = play(record, message, incidents)
        if after.out != record.out:
            changes.append(message)
        record = after
    assert [what for what, _ in changes] == ["fired", "resolved"] * (len(changes) // 2)
    assert changes == sorted(changes, key=lambda change: (change[1], change[0])), (
        "never back to an older incident"
    )
    assert len(set(changes)) == len(changes), "each once"
    assert not record.out, "all incidents are over"


@given(histories())
def test_one_alertmanager_makes_each_change_exactly_once(history) -> None:
    incidents, _ = history
    record, changes = Record(), 0
    for which in range(len(incidents)):
        for message in (("fired", which), ("fired", which), ("resolved", which), ("resolved", which)):
            after = play(record, message, incidents)
            changes += after.out != record.out
            record = after
    assert changes == 2 * len(incidents)


@given(
    st.lists(
        st.tuples(st.sampled_from(["fired", "expired", "settled"]), st.floats(0, 1e6), st.floats(0, 1e6)),
        max_size=30,
    )
)
def test_only_what_is_owed_and_settled_ends_an_incident_without_proof(messages) -> None:
    record = fired(Record(), 1.0)
    for what, at, other in messages:
        before = record
        if what == "fired":
            record = fired(record, at, other)
        elif what == "expired":
            record = resolved(record, at, proven=False)
        else:
            record = settled(record, other)
        if before.out and not record.out:
            assert what == "settled"
            assert before.owed == other


def test_a_silence_that_is_over_is_no_outage_because_somebody_fires_it_anew() -> None:
    over = resolved(fired(Record(), 100.0, 100.0, 70.0), 150.0, proven=True)

    def anew(at: float, silence: float | None) -> Record:
        return fired(over, at, at, silence, doubt=15.0)

    assert anew(155.0, 70.0) == over, "a restarted Prometheus, which has not scraped yet"
    assert anew(155.0, 84.9) == over, "its exporter's clock is ahead"
    assert anew(155.0, 60.0) == over, "nor has it heard the last beat"
    assert anew(181.0, 70.0).out, "still so after half a minute"
    assert anew(155.0, 85.0).out, "another silence, soon after the return"
    assert anew(155.0, None).out, "rules that do not say since when"


def test_the_silence_of_a_miss_is_the_latest_that_was_told() -> None:
    record = fired(fired(Record(), 100.0, 100.0, 70.0), 101.0, 101.0, 70.3)
    assert fired(record, 102.0, 102.0, 70.1).silence == 70.3
    assert fired(record, 102.0, 102.0).silence == 70.3


def test_a_beat_after_the_silence_ends_a_miss_at_its_own_instant() -> None:
    missing = fired(Record(), 100.0, 100.0, 70.0, doubt=15.0)
    over = beaten(missing, 130.0, doubt=15.0)
    assert (over.out, over.ended) == (False, 130.0)
    assert fired(over, 135.0, 135.0, 70.0, doubt=15.0) == over, "told late"
    assert fired(over, 160.0, 160.0, 130.0, doubt=15.0).out, "the next death"


def test_a_beat_proves_no_end_of_a_miss_that_is_not_known_to_be_older() -> None:
    missing = fired(Record(), 100.0, 100.0, 70.0, doubt=15.0)
    assert beaten(missing, 84.9, doubt=15.0) == missing
    again = fired(missing, 170.0, 170.0, 140.0, doubt=15.0)
    assert beaten(again, 130.0, doubt=15.0) == again, "it has died again since"
    silent = fired(Record(silence=10.0), 100.0)
    assert beaten(silent, 130.0, doubt=15.0) == silent, "rules that do not say since when"
