"""The whole of the sentinel's judgement against a simulated world in which anything but Redis may die."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from healer.sentinel.alerts import HEALER_MISS, HEARTBEAT_MISS, WATCHDOG, Alert, Webhook
from healer.sentinel.delivery import Delivery
from healer.sentinel.events import Event, type_of
from healer.sentinel.incidents import Record
from healer.sentinel.ledger import LedgerDownError
from healer.sentinel.watchdog import Watchdog
from healer.truth.model import Bus, Monitor, Service, Truth

from .conftest import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL, TIMEOUT, OWN, RESEND = 1.0, 4.0, 6.0, 3.0
SERVICE = Service("mesh", "bus", "mesh:heartbeat", interval=INTERVAL, timeout=TIMEOUT)
TRUTH = Truth((SERVICE,), (Bus("bus", "redis://nowhere"),), Monitor(timeout=OWN, alerts_bus="bus"), "", "")
REPEAT = 10.0
LAPSE = round(3 * REPEAT)
QUIET = 60
"""Seconds without a fault after which the world and what was said of it have to agree."""


def beat_of_mesh(at: float) -> str:
    """What a Watchdog says of a service that returned."""
    return f"{at:.3f} mesh\n"


class Memory:
    """The ledger's promise, kept in a dictionary; that the real one keeps it is test_ledger's business."""

    def __init__(self, records: dict[str, Record]) -> None:
        self.records = records
        self.down = False

    async def refresh(self) -> None:
        """Nobody else writes."""
        if self.down:
            raise LedgerDownError

    def record(self, name: str) -> Record:
        return self.records.get(name, Record())

    async def apply(
        self, name: str, change: Callable[[Record], Record], event: Callable[[Record], Event | None]
    ) -> Event | None:
        if self.down:
            raise LedgerDownError
        before = self.record(name)
        after = self.records[name] = change(before)
        return event(after) if after.out != before.out else None


@dataclass
class World:
    """A service, Prometheus, Alertmanager and the sentinel, one second at a time."""

    machine: Machine = field(default_factory=Machine)
    records: dict[str, Record] = field(default_factory=dict)
    said: list[tuple[float, str]] = field(default_factory=list)
    beating: bool = True
    prometheus: bool = True
    fired: Alert | None = None
    sent: float = 0.0
    blind_until: float = 0.0
    expires: float = 0.0
    known: Alert | None = None
    begun: float | None = None
    last_beat: float = 0.0
    returned: bool = False
    twice: bool = False

    def __post_init__(self) -> None:
        self.last_beat = self.machine.wall()
        self.restart_sentinel()

    def restart_sentinel(self) -> None:
        self.watchdog = Watchdog(self.machine, OWN)
        self.delivery = Delivery(
            self.machine, self.watchdog, lambda event: self.said.append((self.machine.wall(), type_of(event)))
        )
        asyncio.run(self.delivery.adopt(TRUTH))
        self.delivery.ledger = Memory(self.records)  # type: ignore[assignment]  # as far as Delivery needs one

    def restart_prometheus(self) -> None:
        """Lose the rules' memory; the exporter restarted as well, so a dead service is only missed after a while."""
        self.prometheus = not self.prometheus
        self.begun, self.returned = None, False
        self.blind_until = self.machine.wall() + SERVICE.warmup + TIMEOUT

    def second(self) -> None:
        self.machine.sleep(1.0)
        self.watchdog.check()
        now = self.machine.wall()
        if self.beating:
            self.last_beat = now
        messages = (self.evaluate(now) if self.prometheus else []) + self.expire(now)
        asyncio.run(self.deliver(messages))

    async def deliver(self, messages: list[Alert]) -> None:
        for message in messages * (2 if self.twice else 1):
            await self.delivery.deliver(Webhook("am", (message,), REPEAT))
        await self.delivery.tick()

    def evaluate(self, now: float) -> list[Alert]:
        """Run the rules and hand Alertmanager what is due; return what it passes on."""
        messages = []
        late = now - self.last_beat
        if late > TIMEOUT and (self.begun is not None or now >= self.blind_until):
            first = self.begun is None
            self.begun = now if self.begun is None else self.begun
            alert = Alert(
                HEARTBEAT_MISS, True, "mesh", self.begun, 0.0, late, TIMEOUT, evaluated=now, interval=INTERVAL
            )
            self.fired = alert
            if first or now - self.sent > RESEND:
                self.sent, self.expires = now, now + 4 * RESEND
                if self.known is None:
                    messages.append(alert)
                self.known = alert
        elif self.begun is not None:
            self.begun, self.returned = None, True
            if self.known is not None and self.fired is not None:
                self.known = None
                messages.append(self.end(self.fired, now))
        missing = () if self.begun is None else ("mesh",)
        returned = beat_of_mesh(self.last_beat) if self.returned and not missing else ""
        beat = Alert(WATCHDOG, True, "", 0.0, 0.0, evaluated=now, missing=missing, returned=returned)
        return [beat, *messages]

    def crash_alertmanager(self) -> None:
        """Forget what fires; if it ends before it is sent again, nobody tells."""
        self.known = None

    def expire(self, now: float) -> list[Alert]:
        if self.known is None or now < self.expires:
            return []
        alert, self.known = self.known, None
        return [self.end(alert, self.expires)]

    @staticmethod
    def end(alert: Alert, at: float) -> Alert:
        return Alert(
            alert.name,
            False,
            alert.svc,
            alert.starts_at,
            at,
            alert.late,
            alert.timeout,
            alert.evaluated,
            alert.interval,
        )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["service", "prometheus", "alertmanager", "sentinel", "twice"]), st.integers(1, 25)
    ),
    max_size=25,
)


def play(world: World, step: str) -> None:
    if step == "service":
        world.beating = not world.beating
    elif step == "prometheus":
        world.restart_prometheus()
    elif step == "alertmanager":
        world.crash_alertmanager()
    elif step == "sentinel":
        world.restart_sentinel()
    else:
        world.twice = not world.twice


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_dies_each_change_is_said_once_in_order_never_falsely_and_in_the_end(steps) -> None:
    world = World()
    alive: list[float] = []
    for step, seconds in [*steps, ("twice", 1)]:
        play(world, step)
        for _ in range(seconds):
            world.second()
            if world.beating:
                alive.append(world.machine.wall())
    if not world.prometheus:
        world.restart_prometheus()
    for _ in range(QUIET):
        world.second()
        if world.beating:
            alive.append(world.machine.wall())

    for kind in ("heartbeat", "healer"):
        said = [(at, type_) for at, type_ in world.said if type_.startswith(kind)]
        assert [type_ for _, type_ in said] == ([f"{kind}_miss", f"{kind}_ok"] * len(said))[: len(said)]
        if kind == "heartbeat":
            for (missed, _), (returned, _) in zip(said[::2], said[1::2], strict=False):
                assert any(missed < at <= returned for at in alive), "called recovered without a beat"
            assert bool(len(said) % 2) == (
                not world.beating and world.machine.wall() - world.last_beat > TIMEOUT
            )
        else:
            assert len(said) % 2 == 0, "the pipeline works, so Healer is well"


@dataclass
class Guard:
    """A sentinel's judgement by itself, spoken to by hand."""

    machine: Machine
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.machine, OWN)
        self.memory = Memory({})
        self.delivery = Delivery(self.machine, self.watchdog, lambda event: self.said.append(type_of(event)))

    async def start(self) -> Self:
        await self.delivery.adopt(TRUTH)
        self.delivery.ledger = self.memory  # type: ignore[assignment]  # as far as Delivery needs one
        return self

    async def hear(self, *heard: Alert) -> None:
        await self.delivery.deliver(Webhook("am", heard, REPEAT))

    async def pass_time(
        self,
        seconds: int,
        *also: Alert,
        missing: tuple[str, ...] = (),
        returned: str = "",
    ) -> None:
        """Let time pass, with a Watchdog that names what is `missing` or `returned` and a tick each second."""
        for _ in range(seconds):
            self.machine.sleep(1.0)
            self.watchdog.check()
            now = self.machine.wall()
            beat = Alert(WATCHDOG, True, "", 0.0, 0.0, evaluated=now, missing=missing, returned=returned)
            with contextlib.suppress(LedgerDownError):
                await self.hear(beat, *also)
                await self.delivery.tick()


@pytest_asyncio.fixture
async def guard(machine) -> Guard:
    return await Guard(machine).start()


PATIENCE = round(SERVICE.warmup + TIMEOUT + OWN)
"""Seconds after which an end owed of SERVICE is believed."""


async def test_nothing_owed_is_believed_while_healer_itself_is_missing(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0))
    healer = Alert(HEALER_MISS, True, "healer", now, 0.0, OWN, OWN)
    await guard.hear(healer)
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, now + 12.0))
    await guard.pass_time(60, healer)
    assert guard.said == ["heartbeat_miss", "healer_miss"]
    end = guard.machine.wall()
    await guard.hear(
        Alert(HEALER_MISS, False, "healer", now, end, evaluated=end - INTERVAL, interval=INTERVAL)
    )
    await guard.pass_time(PATIENCE - 1)
    assert guard.said[2:] == ["healer_ok"]
    await guard.pass_time(2)
    assert guard.said[2:] == ["healer_ok", "heartbeat_ok"]


async def test_time_in_which_no_report_could_be_stored_settles_nothing(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0))
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, now + 12.0))
    await guard.pass_time(PATIENCE - 2)
    guard.memory.down = True
    await guard.pass_time(5)
    guard.memory.down = False
    await guard.pass_time(PATIENCE - 1)
    assert guard.said == ["heartbeat_miss"]
    await guard.pass_time(2)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_an_outage_that_nobody_repeats_any_more_is_over(guard) -> None:
    # Alertmanager crashed without a memory, and the service returned before it was back.
    miss = Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0)
    await guard.hear(miss)
    await guard.pass_time(LAPSE, miss)
    await guard.pass_time(LAPSE + PATIENCE - 1)
    assert guard.said == ["heartbeat_miss"]
    await guard.pass_time(5)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok", "heartbeat_miss"]


async def test_a_new_outage_after_one_that_lapsed_is_reported_as_such(guard) -> None:
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    await guard.pass_time(LAPSE + 3)
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall() + 1.0, 0.0))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok", "heartbeat_miss"]


async def test_an_outage_that_is_repeated_after_it_was_taken_for_over_is_an_outage_again(guard) -> None:
    # A silence in Alertmanager ended, and the service is as dead as it was.
    begun = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0))
    await guard.pass_time(LAPSE + PATIENCE + 30)
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0, evaluated=guard.machine.wall()))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok", "heartbeat_miss"]


async def test_an_outage_that_is_repeated_after_all_goes_on(guard) -> None:
    begun = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0))
    await guard.pass_time(LAPSE + 3)
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0, evaluated=guard.machine.wall()))
    await guard.pass_time(LAPSE - 1)
    assert guard.said == ["heartbeat_miss"]


async def test_an_outage_does_not_lapse_while_the_watchdog_names_it(guard) -> None:
    # Somebody silenced the alert, and with it its repeats.
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    await guard.pass_time(10 * LAPSE, missing=("mesh",))
    assert guard.said == ["heartbeat_miss"]


def miss_at(now: float) -> Alert:
    """An alert on a service that has been silent for its whole timeout."""
    return Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0, TIMEOUT, TIMEOUT, evaluated=now)


async def test_a_beat_proves_a_return_that_nobody_told_while_the_pipeline_is_never_sound(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(miss_at(now))
    trouble = Alert("HeartbeatBusDown", True, "", 0.0, 0.0, bus="bus")
    beat = beat_of_mesh(now + 2.5)
    await guard.pass_time(round(OWN) - 1, trouble, returned=beat)
    assert guard.said == ["heartbeat_miss"], "it was called missing less than a Watchdog's timeout ago"
    await guard.pass_time(1, trouble, returned=beat)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]
    await guard.pass_time(60, trouble, returned=beat)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_a_beat_proves_an_end_that_was_owed(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(miss_at(now))
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, now + 12.0))
    await guard.pass_time(round(OWN) + 1, returned=beat_of_mesh(now + 2.5))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_the_last_beat_of_the_dead_by_another_clock_proves_nothing(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(miss_at(now))
    await guard.pass_time(3 * round(OWN), returned=beat_of_mesh(now - TIMEOUT + 0.4 * TIMEOUT))
    assert guard.said == ["heartbeat_miss"]


async def test_a_beat_proves_nothing_while_another_prometheus_misses_the_service(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(miss_at(now))
    for _ in range(60):
        await guard.pass_time(1, returned=beat_of_mesh(now + 2.5))
        await guard.pass_time(1, missing=("mesh",))
    assert guard.said == ["heartbeat_miss"]


async def test_nothing_lapses_when_the_repeat_interval_is_not_known(guard) -> None:
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    for _ in range(10 * LAPSE):
        await guard.pass_time(1)
        await guard.delivery.deliver(Webhook("an Alertmanager set up by hand", ()))
    assert guard.said == ["heartbeat_miss"]


async def test_nothing_lapses_at_a_sentinel_that_no_alertmanager_reaches(guard) -> None:
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    await guard.pass_time(1)
    for _ in range(10 * LAPSE):
        guard.machine.sleep(1.0)
        guard.watchdog.check()
        guard.memory.records["monitor:healer"] = Record(beat=guard.machine.wall())  # of another sentinel
        await guard.delivery.tick()
    assert guard.said == ["heartbeat_miss"]


@pytest.mark.parametrize(
    "blind",
    [
        Alert("HeartbeatBusDown", True, "", 0.0, 0.0, bus="bus"),
        Alert("HeartbeatUnwatched", True, "mesh", 0.0, 0.0, bus="bus"),
    ],
)
async def test_nothing_owed_is_believed_while_nobody_watches_the_service(guard, blind) -> None:
    now = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0))
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, now + 12.0))
    await guard.pass_time(100, blind)
    await guard.hear(replace(blind, firing=False))
    await guard.pass_time(PATIENCE - 1)
    assert guard.said == ["heartbeat_miss"]
    await guard.pass_time(2)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_a_bus_that_nobody_calls_down_any_more_is_up(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0))
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, now + 12.0))
    await guard.hear(Alert("HeartbeatBusDown", True, "", 0.0, 0.0, bus="bus"))
    await guard.pass_time(LAPSE + PATIENCE + 5)
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_an_end_a_day_ahead_hides_no_later_outage(guard) -> None:
    now, day = guard.machine.wall(), guard.machine.wall() + 86_400.0
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, day, evaluated=day, interval=INTERVAL))
    await guard.pass_time(15)
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", guard.machine.wall(), 0.0))
    assert guard.said == ["heartbeat_miss"]


async def test_an_outage_that_begins_a_day_ahead_ends_when_it_ends(guard) -> None:
    now = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now + 86_400.0, 0.0))
    await guard.pass_time(15)
    end = guard.machine.wall()
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, end, evaluated=end, interval=INTERVAL))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"]


async def test_the_expiry_of_an_alert_from_ahead_of_time_is_no_proof(guard) -> None:
    now, day = guard.machine.wall(), guard.machine.wall() + 86_400.0
    await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", now, 0.0))
    await guard.hear(Alert(HEARTBEAT_MISS, False, "mesh", now, day, evaluated=day - 12.0, interval=INTERVAL))
    assert guard.said == ["heartbeat_miss"]


async def test_a_prometheus_whose_clock_is_a_day_ahead_is_understood(guard) -> None:
    day = guard.machine.wall() + 86_400.0
    await guard.hear(Alert(WATCHDOG, True, "", 0.0, 0.0, evaluated=day))
    for begun in (day, day + 5.0):
        await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0))
        await guard.hear(
            Alert(HEARTBEAT_MISS, False, "mesh", begun, begun + 2.0, evaluated=begun + 1.0, interval=INTERVAL)
        )
        await guard.hear(Alert(HEARTBEAT_MISS, True, "mesh", begun, 0.0))
    assert guard.said == ["heartbeat_miss", "heartbeat_ok"] * 2
