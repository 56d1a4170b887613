"""Real Prometheus, real Alertmanagers, a pair of them or one: however often an alert is delivered, one action.

AUTOHEAL_LONG_SECONDS says how long the long action takes: longer than the ten seconds after which Alertmanager delivers
again what was not answered, and a minute with `make test-autoheal-long`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from tests.patience import PATIENCE

from healer.stack import stack

from .conftest import alert, policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from healer.stack.stack import Server

LONG = float(os.environ.get("AUTOHEAL_LONG_SECONDS", "12"))
RULES = """
groups:
  - name: always
    rules: [{alert: HeartbeatMiss, expr: vector(1), labels: {svc: rss_agg}}]
"""
PROMETHEUS = """
global: {{evaluation_interval: 250ms, scrape_interval: 1s}}
rule_files: [{folder}/rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: {targets}}}]}}]}}
"""
CLUSTER = ("--cluster.peer-timeout=1s", "--cluster.gossip-interval=50ms", "--cluster.settle-timeout=2s")


def counting(tmp_path: Path, seconds: float) -> str:
    """Return a policy whose action leaves a line for every run, whatever autoheal says about it."""
    command = f"echo x >> {tmp_path}/count; sleep {seconds}"
    return policy(["/bin/sh", "-c", command, "restart", "{svc}"]).replace(
        '"timeout_sec": 20', '"timeout_sec": 120'
    )


@asynccontextmanager
async def managers(
    servers: Any, ports: Any, tmp_path: Path, heal: Any, *, count: int, gossip: bool, repeat: str
) -> AsyncIterator[list[Server]]:
    """Run Alertmanagers that tell `heal` of every alert, in one cluster or each for itself."""
    token, config = tmp_path / "token", tmp_path / "alertmanager.yml"
    token.write_text(heal.token)
    hook = {
        "url": f"{heal.url}/alert",
        "http_config": {"authorization": {"credentials_file": str(token)}},
    }
    timing = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": repeat}
    route = {"receiver": "autoheal", "group_by": ["..."], **timing}
    receivers = [{"name": "autoheal", "webhook_configs": [hook]}]
    config.write_text(json.dumps({"route": route, "receivers": receivers}))
    meeting = [f"127.0.0.1:{ports.take()}" for _ in range(count)]
    running = []
    try:
        for number, address in enumerate(meeting):
            folder = tmp_path / f"manager-{number}"
            folder.mkdir()
            each = stack.alertmanager(servers.alertmanager, folder, ports.take(), config)
            if gossip:
                argv = [word for word in each.command.argv if word != "--cluster.listen-address="]
                argv += [f"--cluster.listen-address={address}", f"--cluster.advertise-address={address}"]
                argv += [f"--cluster.peer={other}" for other in meeting if other != address]
                each.command = replace(each.command, argv=(*argv, *CLUSTER))
            running.append(each)
            await each.start()
        for each in running:
            await each.wait_ready()
        yield running
    finally:
        for each in running:
            await each.kill()


async def sample(server: Server, name: str) -> float:
    """Return what an Alertmanager's metric says about webhooks, or of the whole of it."""
    async with ClientSession() as session, session.get(f"{server.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(
        each.value
        for family in families
        for each in family.samples
        if each.name == name and each.labels.get("integration", "webhook") == "webhook"
    )


async def samples(servers: list[Server], name: str) -> list[float]:
    return [await sample(each, name) for each in servers]


@pytest.mark.parametrize("gossip", [True, False], ids=["in_a_cluster", "cut_off_from_each_other"])
async def test_a_pair_of_alertmanagers_has_an_action_run_once(
    autoheal, servers, ports, tmp_path, gossip
) -> None:
    heal = await autoheal(counting(tmp_path, 2))
    (tmp_path / "rules.yml").write_text(RULES)
    async with managers(servers, ports, tmp_path, heal, count=2, gossip=gossip, repeat="1s") as pair:
        if gossip:
            began = time.monotonic()
            while await samples(pair, "alertmanager_cluster_members") != [2, 2]:
                assert time.monotonic() - began < PATIENCE, "they never met"
                await asyncio.sleep(0.1)
        config = tmp_path / "prometheus.yml"
        config.write_text(
            PROMETHEUS.format(folder=tmp_path, targets=json.dumps([each.address for each in pair]))
        )
        prometheus = stack.prometheus(servers.prometheus, tmp_path, ports.take(), config, resend_delay=0.5)
        try:
            await prometheus.start()
            await heal.wait_for("action_ok")
            began = time.monotonic()
            while True:
                sent = await samples(pair, "alertmanager_notifications_total")
                heard = await samples(pair, "alertmanager_alerts_received_total")
                # In a cluster either may do the telling for both; cut off, each tells for itself.
                if sum(sent) >= 6 and (gossip or min(sent) >= 2) and min(heard) >= 2:
                    break
                assert time.monotonic() - began < PATIENCE, (sent, heard)
                await asyncio.sleep(0.2)
        finally:
            await prometheus.kill()
    assert (tmp_path / "count").read_text() == "x\n"
    assert len(await heal.audit(kind="webhook_received")) >= 6
    assert len(await heal.audit(kind="action_start")) == 1
    assert set(await heal.reasons()) <= {"in_flight", "duplicate"}


@pytest.mark.timeout(60 + LONG)
async def test_a_long_action_is_delivered_once_and_runs_once(autoheal, servers, ports, tmp_path) -> None:
    heal = await autoheal(counting(tmp_path, LONG))
    async with managers(servers, ports, tmp_path, heal, count=1, gossip=False, repeat="1h") as (manager,):
        fires = alert(starts=time.time())
        body = [{key: fires[key] for key in ("labels", "annotations", "startsAt")}]
        async with ClientSession() as session:
            post = session.post(f"{manager.url}/api/v2/alerts", json=body)
            async with post as answer:
                assert answer.status == 200, await answer.text()
        (ok,) = await heal.wait_for("action_ok", seconds=LONG + PATIENCE)
        assert ok["duration_sec"] >= LONG
        assert await sample(manager, "alertmanager_notifications_total") == 1
        assert await sample(manager, "alertmanager_notifications_failed_total") == 0
    assert (tmp_path / "count").read_text() == "x\n"
    assert len(await heal.audit(kind="webhook_received")) == 1
    assert len(await heal.audit(kind="action_start")) == 1
