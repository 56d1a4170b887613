"""A real process dies: Prometheus misses it, Alertmanager says so, autoheal restarts it, and it is healed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

import pytest
from redis.asyncio import Redis
from tests.patience import PATIENCE, until

from healer.bundle import Settings, render, write
from healer.stack import stack
from healer.truth.load import parse

from .conftest import policy

SERVICE = """
import json, os, sys, time
import redis
bus = redis.Redis.from_url(sys.argv[1])
open(sys.argv[2], "w").write(str(os.getpid()))
for i in range(10**6):
    bus.publish("rss_agg:heartbeat", json.dumps({"svc": "rss_agg", "i": i, "ts": int(time.time())}))
    time.sleep(0.2)
"""


def document(url: str) -> str:
    services = {
        "rss_agg": {"heartbeat": {"interval_sec": 0.5, "timeout_sec": 2}},
        "healer": {
            "access_points": {"subscribe_to": [{"bus": "system-redis", "key": "rss_agg:heartbeat"}]},
            "heartbeat": {"interval_sec": 0.5, "timeout_sec": 2},
        },
    }
    return json.dumps({"buses": {"system-redis": {"url": url}}, "services": services})


@pytest.mark.timeout(180)
async def test_a_dead_process_is_first_rehearsed_then_restarted_and_healed(
    autoheal, servers, ports, redis_server, tmp_path
) -> None:
    bus = await redis_server()
    text = document(bus.url)
    async with Redis.from_url(bus.url) as redis:
        await redis.set("truth:doc", text)
    pid, script = tmp_path / "pid", tmp_path / "service.py"
    script.write_text(SERVICE)
    start = f"setsid {sys.executable} {script} {bus.url} {pid} >/dev/null 2>&1 &"
    rules = policy(["/bin/sh", "-c", start, "restart", "{svc}"], verify_for_sec=60)
    state = tmp_path / "heal"
    rehearsal = await autoheal(rules, live=False, folder=state, AUTOHEAL_ENABLED="true")
    exporter, prometheus_port, manager_port = ports.take(), ports.take(), ports.take()
    token = tmp_path / "token"
    token.write_text(rehearsal.token)
    settings = Settings(
        exporters=(f"127.0.0.1:{exporter}",),
        autoheals=(rehearsal.url.removeprefix("http://"),),
        autoheal_credentials=str(token),
        alertmanagers=(f"127.0.0.1:{manager_port}",),
        prometheus=(f"127.0.0.1:{prometheus_port}",),
        scrape_interval=0.25,
        evaluation_interval=0.25,
        resend_delay=0.5,
        group_interval=0.5,
    )
    bundle = tmp_path / "bundle"
    write(render(parse(text, env={}).truth, settings), bundle)
    # What is repeated every minute in earnest comes every two seconds here.
    config = bundle / "alertmanager/alertmanager.yml"
    config.write_text(config.read_text().replace("repeat_interval: 1m", "repeat_interval: 2s"))
    parts = [
        stack.healer("exporter", tmp_path, exporter, {"TRUTH_REDIS_URL": bus.url}),
        stack.alertmanager(servers.alertmanager, tmp_path, manager_port, config),
        stack.prometheus(
            servers.prometheus,
            tmp_path,
            prometheus_port,
            bundle / "prometheus/prometheus.yml",
            resend_delay=0.5,
        ),
    ]
    os.system(start)  # noqa: ASYNC221  # the service, as its operator would start it
    try:
        for part in parts:
            await part.start()
            await part.wait_ready()
        await until(lambda: pid.exists() and pid.read_text())
        start_time = time.monotonic()
        while (await rehearsal.status())["watchdog_age_sec"] is None:
            assert time.monotonic() - start_time < PATIENCE
        os.kill(first := int(pid.read_text()), signal.SIGKILL)
        (dry,) = await rehearsal.wait_for("action_dry_run")
        assert (dry["alertname"], dry["target"]) == ("HeartbeatMiss", "rss_agg")
        assert int(pid.read_text()) == first, "a dry run ran something"
        await rehearsal.stop()

        port = rehearsal.url.rpartition(":")[2]
        live = await autoheal(rules, folder=state, port=port)
        (ok,) = await live.wait_for("action_ok")
        assert ok["target"] == "rss_agg"
        (healed,) = await live.wait_for("healed")
        assert 0 < healed["after_sec"] < 20
        assert int(pid.read_text()) != first
        assert len(await live.audit(kind="action_start")) == 1
    finally:
        for part in parts:
            await part.kill()
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGKILL)
