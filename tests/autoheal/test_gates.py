"""Each gate by itself, then all of them under whatever can happen in any order."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from healer.autoheal.gates import DUPLICATE_SECONDS, WAITING, Gate, Gates, Key, Refusal, Request, Switches
from healer.autoheal.policy import Backoff, Breaker

LIVE = Switches(enabled=True, dry_run=False, killed=False, sound=True)
REHEARSAL = replace(LIVE, dry_run=True)


def gates(**given):
    return Gates(**{"backoff": Backoff(), "breaker": Breaker(), "concurrency": 1, **given})


def request(number=1, target="crm-api", *, incident="", cooldown=600.0, began=None, alert="a"):
    return Request(
        f"r{number}", Key("restart", target), alert, incident, cooldown, "TcpEndpointDownFast", 300.0, began
    )


def attempt(machine, asked, at, seconds=0.0):
    """Run an action from `at` for `seconds`; fails if a gate objects."""
    assert machine.admit(asked, at, LIVE) is None
    assert machine.begin(asked, at, LIVE) is None
    machine.end(asked, at + seconds, verify=True)


def gate(refusal):
    return None if refusal is None else refusal.gate


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        (replace(LIVE, sound=False), Gate.STATE),
        (replace(LIVE, enabled=False), Gate.DISABLED),
        (replace(LIVE, killed=True), Gate.KILL_SWITCH),
        (LIVE, None),
    ],
)
def test_each_switch_stops_what_comes_in_and_what_waits(switches, expected):
    machine = gates()
    assert gate(machine.admit(request(), 0.0, switches)) == expected
    waiting = gates()
    assert waiting.admit(request(), 0.0, LIVE) is None
    assert gate(waiting.begin(request(), 1.0, switches)) == expected
    assert bool(waiting.held) == (expected is None)


def test_the_switches_come_before_what_the_policy_says():
    plan = Refusal(Gate.RULE, "no rule")
    assert gate(gates().admit(plan, 0.0, LIVE)) is Gate.RULE
    assert gate(gates().admit(plan, 0.0, replace(LIVE, killed=True))) is Gate.KILL_SWITCH


def test_a_target_is_in_flight_from_acceptance_to_end():
    machine = gates()
    assert machine.admit(request(1), 0.0, LIVE) is None
    assert gate(machine.admit(request(2), 0.0, LIVE)) is Gate.IN_FLIGHT
    assert machine.admit(request(3, "crm-worker"), 0.0, LIVE) is None
    machine.begin(request(1), 0.0, LIVE)
    assert gate(machine.admit(request(2), 60.0, LIVE)) is Gate.IN_FLIGHT


def test_an_incident_acted_on_is_a_duplicate_then_one_that_was_not_helped():
    machine = gates()
    attempt(machine, request(1, incident="i", cooldown=0.0), 0.0)
    again = request(2, incident="i", cooldown=0.0)
    assert gate(machine.admit(again, DUPLICATE_SECONDS - 1, LIVE)) is Gate.DUPLICATE
    assert machine.admit(again, DUPLICATE_SECONDS, LIVE) is None


def test_an_incident_that_is_over_never_acts_again():
    machine = gates()
    attempt(machine, request(1, incident="i", cooldown=0.0), 0.0)
    machine.resolved(Key("restart", "crm-api"), "a", 20.0)
    assert gate(machine.admit(request(2, incident="i", cooldown=0.0), 1e6, LIVE)) is Gate.DUPLICATE


def test_cooldown_counts_from_the_start_and_a_skip_never_extends_it():
    machine = gates()
    attempt(machine, request(1), 0.0, 30.0)
    before = copy.deepcopy(machine)
    for at in range(60, 600, 60):
        refusal = machine.admit(request(at), float(at), LIVE)
        assert (refusal.gate, refusal.seconds) == (Gate.COOLDOWN, 600.0 - at)
    assert machine == before
    assert machine.admit(request(2), 600.0, LIVE) is None


def test_backoff_doubles_from_ten_seconds_to_five_minutes_whatever_came_of_the_attempts():
    machine, now, waits = gates(breaker=Breaker(1000)), 0.0, []
    for number in range(8):
        attempt(machine, request(number, cooldown=0.0), now, 1.0)
        refusal = machine.admit(request("next", cooldown=0.0), now + 1.0, LIVE)
        assert refusal.gate is Gate.BACKOFF
        waits.append(refusal.seconds)
        now += 1.0 + refusal.seconds
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_backoff_begins_anew_after_health_as_long_as_its_wait():
    for healthy, attempts in ((15.0, 3), (20.0, 1)):
        machine = gates()
        attempt(machine, request(1, cooldown=0.0), 0.0)
        attempt(machine, request(2, cooldown=0.0), 10.0)
        machine.resolved(Key("restart", "crm-api"), "a", 100.0)
        attempt(machine, request(3, cooldown=0.0, began=100.0 + healthy), 500.0)
        assert machine.past[Key("restart", "crm-api")].attempts == attempts


def test_a_wait_before_the_first_attempt_holds_the_target_and_counts_from_the_alert():
    machine = gates(backoff=Backoff(before_first=True))
    first = request(1, began=-4.0)
    assert machine.admit(first, 0.0, LIVE) is None
    refusal = machine.begin(first, 5.0, LIVE)
    assert (refusal.gate, refusal.seconds) == (Gate.BACKOFF, 1.0)
    assert gate(machine.admit(request(2), 5.0, LIVE)) is Gate.IN_FLIGHT
    assert machine.begin(first, 6.0, LIVE) is None


def test_one_whose_beginning_nobody_knows_never_counts_as_having_waited():
    machine = gates(backoff=Backoff(before_first=True))
    assert machine.admit(request(), 0.0, LIVE) is None
    assert [machine.begin(request(), at, LIVE).seconds for at in (0.0, 60.0)] == [10.0, 10.0]


def test_trouble_before_the_alert_is_no_health():
    for pending, attempts in ((0.0, 1), (60.0, 2)):
        machine = gates()
        attempt(machine, request(1, cooldown=0.0), 0.0)
        machine.resolved(Key("restart", "crm-api"), "a", 1.0)
        attempt(machine, replace(request(2, cooldown=0.0, began=70.0), pending=pending), 70.0)
        assert machine.past[Key("restart", "crm-api")].attempts == attempts


def test_what_waits_for_a_slot_stays_and_then_runs():
    machine = gates()
    one, two = request(1), request(2, "crm-worker")
    for each in (one, two):
        assert machine.admit(each, 0.0, LIVE) is None
    assert machine.begin(one, 0.0, LIVE) is None
    assert gate(machine.begin(two, 0.0, LIVE)) is Gate.CONCURRENCY
    machine.end(one, 5.0, verify=True)
    assert machine.begin(two, 5.0, LIVE) is None


def test_one_action_too_many_opens_the_breaker_until_it_is_reset():
    machine = gates(breaker=Breaker(2, 3600.0))
    for number in range(2):
        attempt(machine, request(number, f"t{number}"), float(number))
    extra = request(3, "t3")
    assert machine.admit(extra, 10.0, LIVE) is None
    assert gate(machine.begin(extra, 10.0, LIVE)) is Gate.BREAKER
    assert machine.open_since == 10.0
    assert gate(machine.admit(request(4, "t4"), 1e6, LIVE)) is Gate.BREAKER
    assert machine.reset()
    attempt(machine, request(5, "t5"), 1e6)


def test_actions_that_are_long_ago_do_not_count_against_the_breaker():
    machine = gates(breaker=Breaker(1, 60.0))
    attempt(machine, request(1, "a"), 0.0)
    attempt(machine, request(2, "b"), 60.0)
    assert machine.open_since is None


def test_a_rehearsal_books_what_would_have_happened_and_never_opens_the_breaker():
    machine = gates(breaker=Breaker(1))
    for number in range(3):
        asked = request(number, f"t{number}")
        assert machine.admit(asked, 0.0, REHEARSAL) is None
        assert gate(machine.begin(asked, 0.0, REHEARSAL)) is Gate.DRY_RUN
    assert not machine.running
    assert not machine.held
    assert machine.open_since is None
    assert gate(machine.admit(request(9, "t1"), 1.0, REHEARSAL)) is Gate.COOLDOWN


def test_a_resolution_in_time_says_how_long_it_took_and_a_late_one_is_overdue():
    machine, key = gates(), Key("restart", "crm-api")
    attempt(machine, request(1), 0.0, 5.0)
    assert machine.resolved(key, "another alert", 9.0) is None
    assert machine.overdue(304.0) == []
    assert machine.resolved(key, "a", 20.0) == 20.0
    assert machine.resolved(key, "a", 21.0) is None
    attempt(machine, request(2), 1000.0, 5.0)
    assert [key for key, _ in machine.overdue(1305.0)] == [key]
    assert machine.overdue(1306.0) == []
    assert machine.resolved(key, "a", 1400.0) is None


def test_a_resolution_from_before_the_attempt_is_no_health():
    machine = gates()
    attempt(machine, request(1), 100.0)
    machine.resolved(Key("restart", "crm-api"), "a", 99.0)
    assert machine.past[Key("restart", "crm-api")].healthy is None


def test_an_alert_that_resolves_while_the_action_runs_is_seen_at_its_end():
    machine = gates()
    machine.admit(request(), 0.0, LIVE)
    machine.begin(request(), 0.0, LIVE)
    machine.resolved(Key("restart", "crm-api"), "a", 3.0)
    assert machine.end(request(), 5.0, verify=True)


class Anything(RuleBasedStateMachine):
    """Alerts, ends, resolutions, time and switches in any order: what must hold holds."""

    TARGETS = st.sampled_from("abc")
    COOLDOWN = 50.0
    WINDOW = 200.0
    BACKOFF = Backoff(10.0, 80.0)

    def __init__(self):
        super().__init__()
        self.gates = gates(concurrency=2, breaker=Breaker(4, self.WINDOW), backoff=self.BACKOFF)
        self.now, self.number = 0.0, 0
        self.waiting, self.running = [], []
        self.started, self.counted = [], []
        self.switches = LIVE

    def _refused(self, act):
        before = copy.deepcopy(self.gates)
        refusal = act()
        return refusal, before

    @rule(
        name=TARGETS, incident=st.sampled_from(["", "i", "j"]), age=st.sampled_from([None, 0.0, 5.0, 100.0])
    )
    def an_alert(self, name, incident, age):
        self.number += 1
        began = None if age is None else self.now - age
        asked = request(self.number, name, incident=incident, cooldown=self.COOLDOWN, began=began)
        refusal, before = self._refused(lambda: self.gates.admit(asked, self.now, self.switches))
        if refusal is None:
            self.waiting.append(asked)
        else:
            assert self.gates == before, "a skip left a trace"

    def _since(self, asked, past):
        """Return from when on the first wait counts at least; long ago where none is asked for."""
        if not self.gates.backoff.before_first:
            return -1e9
        ended = past[asked.key].ended if asked.key in past else None
        return asked.began if ended is None else max(asked.began, ended)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def a_turn(self, data):
        asked = data.draw(st.sampled_from(self.waiting))
        past = copy.deepcopy(self.gates.past)
        refusal = self.gates.begin(asked, self.now, self.switches)
        if refusal is None:
            assert self.switches == LIVE, "an action ran against a switch"
            assert self.now - self._since(asked, past) >= self.gates.backoff.delay(0), "it has not waited"
            self.running.append(asked)
            self.started.append((self.now, asked.key))
            self.counted.append(self.now)
        else:
            assert self.gates.past == past or refusal.gate is Gate.DRY_RUN, "a skip extended something"
        if gate(refusal) not in WAITING:
            self.waiting.remove(asked)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), verify=st.booleans())
    def an_end(self, data, verify):
        asked = data.draw(st.sampled_from(self.running))
        self.running.remove(asked)
        self.gates.end(asked, self.now, verify=verify)

    @rule(name=TARGETS)
    def a_resolution(self, name):
        self.gates.resolved(Key("restart", name), "a", self.now)

    @rule(seconds=st.sampled_from([0.5, 9.0, 10.0, 49.0, 51.0, 301.0]))
    def time_passes(self, seconds):
        self.now += seconds
        self.gates.overdue(self.now)

    @rule(killed=st.booleans(), dry_run=st.booleans(), enabled=st.booleans())
    def switches_are_set(self, killed, dry_run, enabled):
        self.switches = Switches(enabled=enabled, dry_run=dry_run, killed=killed, sound=True)

    @rule()
    def all_switches_go(self):
        self.switches = LIVE

    @precondition(lambda self: self.gates.open_since is not None)
    @rule()
    def a_reset(self):
        self.gates.reset()
        self.counted.clear()

    @invariant()
    def one_at_a_time_for_each_target(self):
        held = [asked.key for asked in (*self.waiting, *self.running)]
        assert len(held) == len(set(held))
        assert set(self.gates.held) == set(held)

    @invariant()
    def no_more_than_allowed_run_together(self):
        assert len(self.running) <= 2
        assert {asked.id for asked in self.running} == self.gates.running

    @invariant()
    def never_twice_within_a_cooldown(self):
        for key in {key for _, key in self.started}:
            starts = [at for at, each in self.started if each == key]
            assert all(later - earlier >= self.COOLDOWN for earlier, later in pairwise(starts))

    @invariant()
    def never_more_in_a_window_than_the_breaker_lets(self):
        for at in self.counted:
            assert sum(at <= other < at + self.WINDOW for other in self.counted) <= 4


Anything.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_whatever_happens_in_any_order = Anything.TestCase


class AnythingThatWaits(Anything):
    """The same with a wait before the first attempt."""

    BACKOFF = Backoff(10.0, 80.0, before_first=True)


AnythingThatWaits.TestCase.settings = Anything.TestCase.settings
test_whatever_happens_in_any_order_with_a_wait_before_the_first_attempt = AnythingThatWaits.TestCase
