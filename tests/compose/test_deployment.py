"""The whole file with every profile: up, healthy, through deaths of a service and of every part, down, nothing left.

The tests stand in the order of the story and share one deployment.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from .conftest import HEALER, LABEL, Deployment, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .engine import Engine

TOKEN = "0123456789abcdef0123456789abcdef"
TARGETS = sorted(
    [
        "healer:9877",
        "sentinel:9878",
        "autoheal:9009",
        "alertmanager:9093",
        "prometheus:9090",
        "node-exporter:9100",
    ]
)
ONE_SHOT = "bootstrap"
STOP_SECONDS = 5
"""Less than the 10 s after which the engine kills whoever does not hear SIGTERM."""

POLICY = {
    "actions": {"restart": {"kind": "command", "command": ["/bin/true", "{svc}"], "target": "svc"}},
    "rules": [{"match": {"alertname": "HeartbeatMiss"}, "action": "restart"}],
    "cooldown_sec": 1,
}


@pytest.fixture(scope="module")
def deployment(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Everything, with tokens for sentinel and autoheal, and a dead man's switch."""
    folder = tmp_path_factory.mktemp("secrets")
    folder.chmod(0o755)
    (folder / "tokens").write_text(f"alertmanager {TOKEN}\n")
    (folder / "token").write_text(TOKEN)
    (folder / "switch").write_text("http://grafana:3000/api/health\n")
    (folder / "autoheal.yml").write_text(json.dumps(POLICY))
    inside = "chown 10001:65534 /s/tokens /s/token /s/switch && chmod 0440 /s/tokens /s/token /s/switch && chmod 0444 /s/autoheal.yml"
    engine.docker(
        "run", "--rm", "--user", "0", "--volume", f"{folder}:/s", "--entrypoint", "sh", HEALER, "-c", inside
    )
    deployment = Deployment(
        engine,
        {
            "COMPOSE_PROFILES": "demo,autoheal,node-exporter",
            "HEALER_BUNDLE_OPTIONS": "--autoheal autoheal:9009 --node-exporter node-exporter:9100",
            "SENTINEL_TOKEN_FILE": f"{folder}/tokens",
            "SENTINEL_CREDENTIALS_FILE": f"{folder}/token",
            "DEADMANSSWITCH_URL_FILE": f"{folder}/switch",
            "DEADMANSSWITCH_INTERVAL_SEC": "5",
            "AUTOHEAL_POLICY": f"{folder}/autoheal.yml",
            "AUTOHEAL_ENABLED": "true",
            "AUTOHEAL_TOKEN_FILE": f"{folder}/tokens",
            "AUTOHEAL_CREDENTIALS_FILE": f"{folder}/token",
        },
    )
    deployment.compose("down", "--volumes")
    try:
        deployment.up()
        listener = deployment.listen(tmp_path_factory.mktemp("heard") / "events")
        yield deployment
        listener.kill()
        listener.wait()
    finally:
        deployment.compose("down", "--volumes", "--timeout", "2", check=False)


def test_every_container_is_healthy(deployment: Deployment) -> None:
    states = {
        each["Config"]["Labels"]["com.docker.compose.service"]: each["State"]
        for each in deployment.containers()
    }
    assert states.pop(ONE_SHOT)["ExitCode"] == 0
    beating = {"rss_agg", "massive", "mesh", "vexy_ai", "market_feed"}
    assert {name for name, state in states.items() if "Health" not in state} == beating
    assert all(state["Status"] == "running" for state in states.values())
    assert {state["Health"]["Status"] for name, state in states.items() if name not in beating} == {"healthy"}


def test_prometheus_scrapes_everything(deployment: Deployment) -> None:
    until(lambda: sorted(deployment.query("up == 1")) == TARGETS, 30)
    assert max(deployment.query("node_filesystem_size_bytes").values()) > 0


def test_the_dead_man_s_switch_is_called_and_a_webhook_needs_the_token(deployment: Deployment) -> None:
    called = 'sentinel_deadmansswitch_pings_total{result="sent"}'
    until(lambda: max(deployment.query(called).values(), default=0) > 0, 30)
    code = (
        "import urllib.request as r, urllib.error as e\n"
        "try: r.urlopen(r.Request('http://sentinel:9878/webhook', b'{}', {'Content-Type': 'application/json'}))\n"
        "except e.HTTPError as error: print(error.code)"
    )
    assert deployment.python("healer", code) == "401"


def test_a_death_and_a_return_of_a_service_and_of_healer_are_told_once(deployment: Deployment) -> None:
    until(lambda: deployment.query("count(svc:heartbeat_state:code == 0)").get("") == 5, 60)
    assert deployment.events() == []
    deployment.compose("stop", "rss_agg")
    until(lambda: ("heartbeat_miss", "rss_agg") in deployment.events(), 60)
    deployment.compose("start", "rss_agg")
    until(lambda: ("heartbeat_ok", "rss_agg") in deployment.events(), 30)
    deployment.compose("stop", "healer")
    until(lambda: ("healer_miss", "healer") in deployment.events(), 60)
    deployment.compose("start", "healer")
    until(lambda: ("healer_ok", "healer") in deployment.events(), 60)
    assert deployment.events() == [
        ("heartbeat_miss", "rss_agg"), ("heartbeat_ok", "rss_agg"), ("healer_miss", "healer"), ("healer_ok", "healer")
    ]  # fmt: skip


def test_autoheal_rehearses(deployment: Deployment) -> None:
    code = (
        "import urllib.request as r\n"
        f"print(r.urlopen(r.Request('http://autoheal:9009/audit', headers={{'Authorization': 'Bearer {TOKEN}'}})).read().decode())"
    )
    kinds = {each["kind"] for each in json.loads(deployment.python("healer", code))}
    assert "action_dry_run" in kinds
    assert "action_start" not in kinds


def crash(deployment: Deployment, service: str) -> None:
    """Kill a service's process as a fault would, and wait until the engine has it running and well again."""
    before = deployment.container(service)["State"]["Pid"]
    try:
        os.kill(before, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pytest.fail("the engine's processes cannot be killed from here: be root, on the engine's machine")
    until(lambda: deployment.container(service)["State"]["Pid"] not in {0, before}, 20)
    until(lambda: deployment.container(service)["State"]["Health"]["Status"] == "healthy", 60)


@pytest.mark.timeout(400)
def test_what_crashes_while_a_service_is_missing_comes_back_and_makes_nothing_false(
    deployment: Deployment,
) -> None:
    begun = len(deployment.events())
    deployment.compose("stop", "rss_agg")
    until(lambda: deployment.events()[begun:] == [("heartbeat_miss", "rss_agg")], 60)
    for part in (
        "healer",
        "sentinel",
        "prometheus",
        "alertmanager",
        "bundle",
        "market-redis",
        "system-redis",
    ):
        crash(deployment, part)
        time.sleep(5)
        assert deployment.events()[begun:] == [("heartbeat_miss", "rss_agg")], part
    time.sleep(35)  # past every timeout
    assert deployment.events()[begun:] == [("heartbeat_miss", "rss_agg")]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("part", ["prometheus", "alertmanager"])
def test_what_is_gone_for_longer_is_told_once_and_ends_no_miss(deployment: Deployment, part: str) -> None:
    begun = len(deployment.events())
    deployment.compose("kill", part)
    until(lambda: deployment.events()[begun:] == [("healer_miss", "healer")], 60)
    deployment.compose("start", part)
    until(lambda: deployment.events()[begun:] == [("healer_miss", "healer"), ("healer_ok", "healer")], 60)


def test_the_return_is_told_when_everything_is_back(deployment: Deployment) -> None:
    begun = len(deployment.events())
    deployment.compose("start", "rss_agg")
    until(lambda: deployment.events()[begun:] == [("heartbeat_ok", "rss_agg")], 60)
    time.sleep(10)
    assert deployment.events()[begun:] == [("heartbeat_ok", "rss_agg")]


def test_each_container_ends_by_itself_when_it_is_told_to(deployment: Deployment) -> None:
    began = time.monotonic()
    deployment.compose("stop")
    took = time.monotonic() - began
    ends = {
        each["Config"]["Labels"]["com.docker.compose.service"]: each["State"]["ExitCode"]
        for each in deployment.containers()
    }
    killed = {name for name, code in ends.items() if code == 128 + signal.SIGKILL}
    assert killed == set()
    assert took < STOP_SECONDS


def test_nothing_is_left(deployment: Deployment) -> None:
    deployment.compose("down", "--volumes")
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        assert deployment.engine.docker(*kind, "--quiet", "--filter", LABEL).stdout == ""
