"""SIGKILL at any point: nothing runs twice within a cooldown, nothing that was acknowledged is lost.

AUTOHEAL_KILLS says how often it is killed; by default so rarely that the test takes seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter

import pytest
from aiohttp import ClientError

from .conftest import alert, policy

KILLS = int(os.environ.get("AUTOHEAL_KILLS", "4"))


@pytest.mark.timeout(60 + 15 * KILLS)
async def test_a_kill_at_any_point_runs_nothing_twice_and_loses_no_record(autoheal, tmp_path) -> None:
    ran = tmp_path / "ran"
    ran.mkdir()
    # Each run leaves a file of its own, made by the action itself and not by what is under test.
    command = ["/bin/sh", "-c", f'mktemp {ran}/"$1".XXXXXX; sleep 0.1', "run", "{svc}"]
    text = policy(command, breaker={"actions": 1000}, concurrency=2, cooldown_sec=3600)
    folder = tmp_path / "state"
    dice, acknowledged, number = random.Random(7), set(), 0
    for _ in range(KILLS):
        heal = await autoheal(text, folder=folder)
        before = {each["seq"] for each in heal.records()}
        death = time.monotonic() + dice.uniform(0.0, 0.8)
        while time.monotonic() < death:
            number += 1
            svcs = [f"svc{number}", f"svc{dice.randint(1, number)}"]
            with contextlib.suppress(ClientError, OSError):
                if await heal.post(*(alert(svc=svc, starts=time.time()) for svc in svcs)) == 200:
                    acknowledged |= set(svcs)
            await asyncio.sleep(dice.uniform(0.0, 0.05))
        await heal.stop(signal.SIGKILL)
        assert before <= {each["seq"] for each in heal.records() if "seq" in each}
    heal = await autoheal(text, folder=folder)
    start = time.monotonic()
    while (status := await heal.status())["queue"] or status["running"]:
        assert time.monotonic() - start < 60
        await asyncio.sleep(0.1)
    records = heal.records()
    runs = Counter(path.name.rpartition(".")[0] for path in ran.iterdir())
    assert set(runs.values()) == {1}, runs.most_common(3)
    starts = Counter(each["target"] for each in records if each["kind"] == "action_start")
    assert set(starts.values()) == {1}
    assert set(runs) <= set(starts), "something ran that is not on record"
    decided = {each["target"] for each in records if each["kind"] in {"decision_skip", "action_start"}}
    assert acknowledged <= decided, "an acknowledged alert was lost"
    ends = Counter(
        each["id"]
        for each in records
        if each["kind"] in {"action_ok", "action_fail", "action_interrupted", "action_cancelled"}
    )
    assert ends == Counter(each["id"] for each in records if each["kind"] == "action_start"), (
        "a start without an end"
    )
    assert [each["seq"] for each in records] == list(range(1, len(records) + 1))


async def test_an_action_cut_off_is_interrupted_keeps_its_cooldown_and_names_what_still_runs(
    autoheal,
) -> None:
    text = policy(["/bin/sleep", "30"])
    heal = await autoheal(text)
    await heal.post(alert(starts=time.time()))
    await heal.wait_for("action_start")
    await asyncio.sleep(0.3)
    await heal.stop(signal.SIGKILL)
    again = await autoheal(text, folder=heal.folder)
    (interrupted,) = await again.audit(kind="action_interrupted")
    (survivor,) = interrupted["survivors"]
    assert survivor.endswith(" sleep")
    os.kill(int(survivor.split()[0]), signal.SIGKILL)
    await again.post(alert())
    (skip,) = await again.audit(kind="decision_skip")
    assert skip["reason"] == "cooldown"
    assert 500 < skip["wait_sec"] <= 600


async def test_what_was_accepted_before_a_kill_runs_after_it(autoheal) -> None:
    text = policy(["/bin/sleep", "2"], concurrency=1)
    heal = await autoheal(text)
    assert await heal.post(alert(svc="a"), alert(svc="b")) == 200
    await heal.wait_for("action_start")
    await heal.stop(signal.SIGKILL)
    again = await autoheal(text, folder=heal.folder)
    await again.wait_for("action_ok")
    starts = [each["target"] for each in await again.audit(kind="action_start")]
    assert starts == ["a", "b"]
