"""Where Alertmanager sends each alert, and what it holds back: asserted by amlint, which has to find nothing to say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bundle.conftest import service, truth

from healer.bundle import Settings, render
from healer.notify.people import Hook, People, Webhook

AMLINT = Path(sys.executable).with_name("amlint")
SENTINELS = ["sentinel", "sentinel-2"]
WATCHERS = ["watchdog", "watchdog-2", "watchdog-autoheal"]
BUS = {"bus": "system-redis"}
MESH = {"svc": "mesh", **BUS}
RSS = {"svc": "rss_agg", "team": "blue", **BUS}
REACH = [
    ({"alertname": "Watchdog"}, WATCHERS),
    ({"alertname": "HeartbeatMiss", **MESH}, [*SENTINELS, "autoheal", "people"]),
    ({"alertname": "HeartbeatMiss", **RSS}, [*SENTINELS, "autoheal", "people-blue"]),
    ({"alertname": "HealerMiss", "svc": "healer"}, [*SENTINELS, "autoheal", "people"]),
    ({"alertname": "HeartbeatBusDown", **BUS}, [*SENTINELS, "autoheal", "people"]),
    ({"alertname": "HeartbeatUnwatched", **RSS}, [*SENTINELS, "autoheal", "people-blue"]),
    ({"alertname": "HeartbeatFlapping", **RSS}, ["autoheal", "people-blue"]),
    ({"alertname": "SentinelDown"}, ["autoheal", "people"]),
    ({"alertname": "AutohealBreakerOpen"}, ["autoheal-notify"]),
]
"""An alert, and who is told of it."""

HEALER = {"alertname": "HealerMiss", "svc": "healer", "severity": "critical"}
BUS_DOWN = {"alertname": "HeartbeatBusDown", **BUS}
HELD_BACK = [
    ({"alertname": "HeartbeatUnwatched", **MESH}, HEALER, True),
    ({"alertname": "HeartbeatUnwatched", **MESH}, BUS_DOWN, True),
    ({"alertname": "HeartbeatUnwatched", **MESH, "bus": "market-redis"}, BUS_DOWN, False),
    (BUS_DOWN, HEALER, True),
    ({"alertname": "HeartbeatClockSkew", **MESH}, HEALER, True),
    ({"alertname": "HeartbeatTruthDrift"}, HEALER, True),
    ({"alertname": "HeartbeatMiss", **MESH}, HEALER, False),
    ({"alertname": "HeartbeatMiss", **MESH}, BUS_DOWN, False),
    ({"alertname": "HealerMiss", "svc": "healer"}, BUS_DOWN, False),
    ({"alertname": "SentinelDown"}, HEALER, False),
    ({"alertname": "Watchdog"}, HEALER, False),
]
"""An alert, one that fires beside it, and whether the first is held back by it."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a truth with a team, two sentinels, autoheal, and people to tell."""
    folder = tmp_path_factory.mktemp("routes")
    secret = folder / "url"
    secret.write_text("https://hooks.slack.com/services/T/B/x")
    secret.chmod(0o600)
    everyone = People(hooks=(Hook(Webhook.SLACK, str(secret)),))
    settings = Settings(
        people=replace(everyone, teams={"BLUE": everyone}),
        autoheals=("127.0.0.1:9009",),
        sentinels=("a:9878", "b:9878"),
    )
    of = truth(service("rss_agg", team="blue"), service("mesh"))
    path = folder / "alertmanager.yml"
    path.write_text(render(of, settings)["alertmanager/alertmanager.yml"])
    (folder / "templates").mkdir()
    (folder / "templates" / "healer.tmpl").write_text(
        render(of, settings)["alertmanager/templates/healer.tmpl"]
    )
    return path


def amlint(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run amlint."""
    return subprocess.run([AMLINT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_amlint_has_nothing_to_warn_of(config: Path) -> None:
    done = amlint("check", "--strict", config)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_reaches_whom_it_concerns_and_is_held_back_by_its_cause_alone(config: Path) -> None:
    cases = [{"name": str(labels), "labels": labels, "expect": expect} for labels, expect in REACH]
    cases += [
        {"name": f"{labels} beside {firing}", "labels": labels, "firing": [firing], "inhibited": held}
        for labels, firing, held in HELD_BACK
    ]
    tests = config.with_name("tests.yml")
    tests.write_text(json.dumps(cases))
    done = amlint("test", config, tests, "--fail-under", 100)
    assert done.returncode == 0, done.stdout + done.stderr
