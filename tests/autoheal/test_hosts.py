"""Restarts of a host's unit: the policy of docs/hosts.md, and the waits before them on a clock turned by hand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from healer.autoheal import alerts
from healer.autoheal.dispatch import Dispatcher
from healer.autoheal.events import Kind, encode
from healer.autoheal.execute import Outcome
from healer.autoheal.journal import Journal
from healer.autoheal.metrics import Counts
from healer.autoheal.policy import Backoff
from healer.autoheal.policyfile import parse
from healer.autoheal.record import Recorder
from healer.autoheal.recovery import needed
from healer.autoheal.settings import Settings
from healer.autoheal.trail import Filter, Trail
from healer.runtime.clock import Anchor

from .conftest import alert, webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from healer.autoheal.events import Event
    from healer.autoheal.policy import Action

PAGE = (Path(__file__).parents[2] / "docs/hosts.md").read_text(encoding="utf-8")
POLICY = parse(re.findall(r"```yaml\n(actions:\n.+?)```", PAGE, re.DOTALL)[0].encode())
NOW = 1_800_000_000
UNIT = {"host": "vm-1", "unit": "faucet_worker.service", "severity": "critical"}
RESTART = ("/usr/bin/systemctl", "--no-ask-password", "restart", "faucet_worker.service")
PENDING = 60
"""Seconds that the unit is down before its alert fires."""

SEED = [10, 20, 40, 80, 160, 300, 300]


class Clock:
    """Turned by hand; the machine was booted `booted` seconds before the test began."""

    def __init__(self) -> None:
        self.at, self.booted = 0.0, 1000.0

    def monotonic(self) -> float:
        return self.booted + self.at

    def wall(self) -> float:
        return NOW + self.at


class Autoheal:
    """A real dispatcher on a real record; systemctl alone is not real, and takes no time."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.restarts: list[float] = []
        self.settings = Settings.from_env(
            {
                "AUTOHEAL_ENABLED": "true",
                "AUTOHEAL_DRY_RUN": "false",
                "AUTOHEAL_TOKEN_FILE": "/not/asked/for",
                "AUTOHEAL_AUDIT_PATH": str(folder / "audit.jsonl"),
            }
        )

    async def start(self) -> None:
        """Begin, knowing what is on record and nothing else."""
        self.journal = Journal(self.settings.audit_path, needed)
        events, anchor = self.journal.open(), Anchor(self.clock)
        self.trail = Trail()
        self.trail.load(events)
        recorder = Recorder(self.journal, self.trail, Counts(CollectorRegistry(), POLICY), anchor)
        self.dispatcher = Dispatcher(self.settings, POLICY, recorder, self, clock=self.clock, anchor=anchor)
        await self.dispatcher.recover(events)

    async def die(self, seconds: int) -> None:
        """Be gone, and the machine rebooted, for `seconds`."""
        self.journal.close()
        self.clock.at += seconds
        self.clock.booted = -self.clock.at
        await self.start()

    async def run(self, id_: str, action: Action, argv: tuple[str, ...], alert: bytes) -> Outcome:
        assert argv == RESTART
        self.restarts.append(self.clock.at)
        return Outcome("", 0.0, 0)

    def trim(self) -> None:
        """There is no output."""

    async def hear(self, began: float, ended: float | None = None) -> Event:
        """Receive HostUnitInactive, which began and ended so many seconds into the test; return the decision."""
        ends = None if ended is None else NOW + ended
        found = alerts.decode(webhook(alert("HostUnitInactive", starts=NOW + began, ends=ends, **UNIT)))
        (decision,) = await self.dispatcher.receive(found)
        return decision

    async def pass_time(self, seconds: int) -> None:
        """Let seconds go by, doing at the end of each what is due."""
        for _ in range(seconds):
            self.clock.at += 1
            await self.dispatcher.tick()
            while tasks := [each for each in asyncio.all_tasks() if each.get_name().startswith("action ")]:
                await asyncio.gather(*tasks)

    async def next_restart(self) -> float:
        """Let time go by until the unit is restarted; return when that was."""
        before = len(self.restarts)
        while len(self.restarts) == before:
            assert self.clock.at < 100_000, [encode(each) for each in self.trail.newest(Filter(), 20)]
            await self.pass_time(1)
        return self.restarts[-1]

    def skips(self) -> list[str]:
        return [each.reason for each in self.trail.newest(Filter(kind=Kind.DECISION_SKIP), 1000)]


@pytest_asyncio.fixture
async def autoheal(tmp_path: Path) -> AsyncIterator[Autoheal]:
    made = Autoheal(tmp_path)
    await made.start()
    yield made
    made.journal.close()


async def test_each_crash_is_followed_by_a_longer_wait_and_a_restart(autoheal) -> None:
    waits = []
    for _ in SEED:
        crash = autoheal.clock.at
        decision = await autoheal.hear(crash)
        assert decision.kind == Kind.ALERT_ACCEPTED
        waits.append(await autoheal.next_restart() - crash)
        assert decision.wait_sec == waits[-1]
        await autoheal.hear(crash, ended=autoheal.clock.at)
    assert waits == SEED


async def test_each_wait_goes_on_where_it_was_over_a_reboot(autoheal) -> None:
    waits = []
    for expected in SEED:
        crash = autoheal.clock.at
        await autoheal.hear(crash)
        await autoheal.pass_time(expected // 2)
        await autoheal.die(2)
        waits.append(await autoheal.next_restart() - crash)
        await autoheal.hear(crash, ended=autoheal.clock.at)
        await autoheal.die(0)
    assert waits == SEED


async def test_what_ends_while_autoheal_is_dead_is_restarted_when_it_is_back(autoheal) -> None:
    await autoheal.hear(0)
    await autoheal.die(25)
    assert await autoheal.next_restart() == 26


async def test_the_same_alert_again_changes_nothing_about_the_wait(autoheal) -> None:
    for second in range(8):
        autoheal.clock.at = second
        await autoheal.hear(0)
    assert await autoheal.next_restart() == 10
    assert autoheal.skips() == ["in_flight"] * 7


async def test_an_alert_that_comes_late_has_waited_for_so_much_already(autoheal) -> None:
    autoheal.clock.at = 7
    decision = await autoheal.hear(0)
    assert (decision.wait_sec, await autoheal.next_restart()) == (3, 10)


async def test_an_alert_that_claims_to_begin_in_the_future_waits_from_when_it_came_also_after_a_reboot(
    autoheal,
) -> None:
    await autoheal.hear(10_000)
    await autoheal.die(4)
    assert await autoheal.next_restart() == 10


async def test_a_unit_that_is_up_again_within_the_wait_is_left_alone(autoheal) -> None:
    await autoheal.hear(0)
    await autoheal.pass_time(5)
    await autoheal.hear(0, ended=4)
    await autoheal.pass_time(20)
    await autoheal.die(1)
    await autoheal.pass_time(20)
    assert autoheal.restarts == []
    assert autoheal.skips() == ["not_firing"] * 2


async def test_the_kill_switch_ends_the_wait_and_what_is_still_down_afterwards_waits_no_longer_for_it(
    autoheal,
) -> None:
    await autoheal.hear(0)
    await autoheal.pass_time(5)
    autoheal.dispatcher.kill_switch.touch()
    await autoheal.pass_time(60)
    await autoheal.hear(0)
    assert autoheal.skips() == ["kill_switch"] * 2
    autoheal.dispatcher.kill_switch.unlink()
    await autoheal.pass_time(60)
    assert autoheal.restarts == []
    await autoheal.hear(0)
    assert await autoheal.next_restart() == 126


async def test_while_the_breaker_is_open_nothing_is_taken_in_to_wait(autoheal) -> None:
    autoheal.dispatcher.gates.open_since = autoheal.clock.monotonic()
    assert (await autoheal.hear(0)).reason == "breaker"


async def test_a_longer_wait_than_what_is_known_stays_true_is_refused_until_then(autoheal) -> None:
    autoheal.dispatcher.gates.backoff = Backoff(900, 900, before_first=True)
    decision = await autoheal.hear(0)
    assert (decision.reason, decision.wait_sec) == ("backoff", 900)
    await autoheal.pass_time(600)
    assert (await autoheal.hear(0)).kind == Kind.ALERT_ACCEPTED
    assert await autoheal.next_restart() == 900


@pytest.mark.parametrize(("healthy", "wait"), [(39, 40), (40, 10)])
async def test_a_unit_that_was_healthy_for_as_long_as_the_next_wait_begins_anew(
    autoheal, healthy: int, wait: int
) -> None:
    for _ in range(2):
        down = autoheal.clock.at
        await autoheal.hear(down)
        up = await autoheal.next_restart()
        await autoheal.hear(down, ended=up)
    await autoheal.die(healthy + PENDING)  # it lives, crashes, and is down until the alert fires
    fires = autoheal.clock.at
    await autoheal.hear(fires)
    assert await autoheal.next_restart() - fires == wait


def test_a_stale_heartbeat_file_restarts_the_same_unit_and_never_beside_the_other_alert() -> None:
    keys = set()
    for name, labels in (
        ("HostUnitInactive", UNIT),
        ("HeartbeatFileStale", {"host": "vm-1", "path": "/var/lib/faucet_worker/heartbeat"}),
    ):
        (found,) = alerts.decode(webhook(alert(name, starts=NOW, **labels)))
        plan = alerts.plan(found, POLICY, "r", lambda ts: ts, NOW)
        assert plan.argv == RESTART
        keys.add(plan.key)
    assert len(keys) == 1


@pytest.mark.parametrize(
    "labels", [{**UNIT, "host": "vm-2"}, {**UNIT, "unit": "sshd.service"}, {"host": "vm-1"}]
)
def test_other_hosts_and_other_units_are_left_alone(labels: dict[str, str]) -> None:
    (found,) = alerts.decode(webhook(alert("HostUnitInactive", starts=NOW, **labels)))
    plan = alerts.plan(found, POLICY, "r", lambda ts: ts, NOW)
    assert plan.key is None
