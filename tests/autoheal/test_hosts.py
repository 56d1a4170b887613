"""Restarts of a host's unit: the policy of docs/hosts.md, and the pauses between them on a clock turned by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from healer.autoheal import alerts
from healer.autoheal.events import Event, Kind, decode, encode
from healer.autoheal.gates import Gate, Gates, Refusal, Switches
from healer.autoheal.policyfile import parse
from healer.autoheal.recovery import replay

from .conftest import alert, webhook

PAGE = (Path(__file__).parents[2] / "docs/hosts.md").read_text(encoding="utf-8")
POLICY = parse(re.findall(r"```yaml\n(actions:\n.+?)```", PAGE, re.DOTALL)[0].encode())
LIVE = Switches(enabled=True, dry_run=False, killed=False, sound=True)
NOW = 1_800_000_000
UNIT = {"host": "vm-1", "unit": "faucet_worker.service", "severity": "critical"}
RESTART = ("/usr/bin/systemctl", "--no-ask-password", "restart", "faucet_worker.service")


class Autoheal:
    """What decides, on a clock of its own; all that it keeps is a record."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.record: list[bytes] = []
        self.restart()

    def restart(self) -> None:
        """Begin anew, knowing what is on record."""
        self.gates = Gates(POLICY.backoff, POLICY.breaker, POLICY.concurrency)
        replay([decode(line) for line in self.record], self.gates, lambda ts: ts)

    def hear(self, began: float, ended: float | None = None) -> Refusal | None:
        """Take in HostUnitInactive; carry out what passes, which takes no time."""
        told = alert("HostUnitInactive", starts=began, ends=ended, **UNIT)
        (found,) = alerts.decode(webhook(told))
        plan = alerts.plan(found, POLICY, f"r{len(self.record)}", lambda ts: ts)
        assert plan.argv == RESTART
        refusal = self.gates.admit(plan.answer, self.now, LIVE)
        facts = {"id": f"r{len(self.record)}", "action": plan.key.action, "target": plan.key.target}
        facts |= {"ts": self.now, "alert": found.fingerprint}
        if ended is not None:
            self.gates.resolved(plan.key, found.fingerprint, ended)
            over = Event(Kind.DECISION_SKIP, reason=str(refusal.gate), ends_at=ended, **facts)
            self.record.append(encode(over))
        elif refusal is None:
            asked = plan.answer
            assert self.gates.begin(asked, self.now, LIVE) is None
            self.gates.end(asked, self.now, verify=True)
            start = Event(
                Kind.ACTION_START,
                incident=asked.incident,
                cooldown_sec=asked.cooldown,
                verify_sec=asked.verify_for,
                starts_at=began,
                **facts,
            )
            self.record += [encode(start), encode(Event(Kind.ACTION_OK, **facts))]
        return refusal

    def restarted_after(self, began: float) -> float:
        """Deliver the alert each second until the unit is restarted; return for how long it was held back."""
        since = self.now
        while (refusal := self.hear(began)) is not None:
            assert refusal.gate is Gate.BACKOFF, refusal
            assert self.now - since < 1000
            self.now += 1
        return self.now - since


@pytest.mark.parametrize("forgetful", [False, True], ids=["runs-on", "restarted-at-each-crash"])
def test_a_unit_that_crashes_at_once_again_is_restarted_after_ever_longer_pauses(forgetful: bool) -> None:
    autoheal = Autoheal()
    assert autoheal.restarted_after(autoheal.now - 60) == 0
    pauses = []
    for _ in range(7):
        up = autoheal.now
        autoheal.hear(up, ended=up)
        if forgetful:
            autoheal.restart()
        pauses.append(autoheal.restarted_after(up))
    assert pauses == [10, 20, 40, 80, 160, 300, 300]


def test_one_that_was_healthy_for_as_long_as_the_pause_begins_anew() -> None:
    autoheal = Autoheal()
    autoheal.restarted_after(autoheal.now - 60)
    for expected in (10, 20, 40):
        up = autoheal.now
        autoheal.hear(up, ended=up)
        assert autoheal.restarted_after(up) == expected
    autoheal.hear(autoheal.now, ended=autoheal.now)
    autoheal.restart()
    autoheal.now += 81
    assert autoheal.restarted_after(autoheal.now - 1) == 0
    up = autoheal.now
    autoheal.hear(up, ended=up)
    assert autoheal.restarted_after(up) == 10


def test_a_stale_heartbeat_file_restarts_the_same_unit_and_never_beside_the_other_alert() -> None:
    keys = set()
    for name, labels in (
        ("HostUnitInactive", UNIT),
        ("HeartbeatFileStale", {"host": "vm-1", "path": "/var/lib/faucet_worker/heartbeat"}),
    ):
        (found,) = alerts.decode(webhook(alert(name, starts=NOW, **labels)))
        plan = alerts.plan(found, POLICY, "r", lambda ts: ts)
        assert plan.argv == RESTART
        keys.add(plan.key)
    assert len(keys) == 1


@pytest.mark.parametrize(
    "labels", [{**UNIT, "host": "vm-2"}, {**UNIT, "unit": "sshd.service"}, {"host": "vm-1"}]
)
def test_other_hosts_and_other_units_are_left_alone(labels: dict[str, str]) -> None:
    (found,) = alerts.decode(webhook(alert("HostUnitInactive", starts=NOW, **labels)))
    plan = alerts.plan(found, POLICY, "r", lambda ts: ts)
    assert plan.key is None
