"""The whole process: the replaced system's requests one by one, and what it may and may not do."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from aiohttp import ClientSession, ClientTimeout
from tests.patience import stopwatch, until

from healer.autoheal.app import StartError, run
from healer.web.listen import Address

from .conftest import NEVER, OTHER_TOKEN, TOKEN, alert, policy, webhook

REPLACED = """
actions:
  docker restart crm-api: {kind: command, command: [/bin/echo, restarted]}
rules:
  - match: {alertname: TcpEndpointDownFast|UptimeProbeFailing|CrmMetricsScrapeStale}
    action: docker restart crm-api
"""
SMOKE = {
    "status": "firing",
    "labels": {"alertname": "TcpEndpointDownFast", "service": "crm-api", "instance": "crm-api:8000"},
    "annotations": {"autoheal_action": "docker restart crm-api"},
}
SEVEN = (
    "autoheal_enabled",
    'autoheal_actions_total{alertname="TcpEndpointDownFast",result="ok"}',
    'autoheal_action_last_timestamp{alertname="TcpEndpointDownFast"}',
    'autoheal_cooldown_remaining_seconds{alertname="TcpEndpointDownFast"}',
    'autoheal_event_total{kind="webhook_received"}',
    'autoheal_action_failures_total{alertname="TcpEndpointDownFast"}',
    "autoheal_last_event_timestamp",
)


async def test_the_replaced_systems_smoke_test_line_by_line(autoheal) -> None:
    heal = await autoheal(REPLACED, live=False, token=None, AUTOHEAL_ENABLED="true")
    body = json.dumps({"alerts": [SMOKE]})
    for _ in range(2):
        code, _ = await heal.request(
            "POST", "/alert", data=body, headers={"Content-Type": "application/json"}
        )
        assert code == 200
        await heal.wait_for("action_dry_run")
    status = await heal.status()
    assert (status["enabled"], status["dry_run"]) == (True, True)
    assert status["actions"] == {"docker restart crm-api": "/bin/echo restarted"}
    assert len(await heal.audit(n=100)) == 7
    (dry,) = await heal.audit(kind="action_dry_run")
    assert (dry["alertname"], dry["cmd"]) == ("TcpEndpointDownFast", ["/bin/echo", "restarted"])
    assert await heal.audit(kind="action_fail") == []
    assert {each["alertname"] for each in await heal.audit(alertname="TcpEndpointDownFast")} == {
        "TcpEndpointDownFast"
    }
    assert len(await heal.audit(since=str(int(time.time() - 1800)))) == 7
    assert await heal.audit(since=str(int(time.time() + 60))) == []
    assert len(await heal.audit(contains="COOLDOWN")) == 1
    (skip,) = await heal.audit(kind="decision_skip", contains="cooldown", n=50)
    assert (skip["reason"], skip["alertname"]) == ("cooldown", "TcpEndpointDownFast")
    samples = await heal.metrics()
    assert all(name in samples for name in SEVEN)
    assert samples["autoheal_enabled"] == 1
    assert 590 < samples['autoheal_cooldown_remaining_seconds{alertname="TcpEndpointDownFast"}'] <= 600
    assert (await heal.request("GET", "/console"))[0] == 200


async def test_by_default_it_is_disabled_and_says_so(autoheal) -> None:
    heal = await autoheal(REPLACED, live=False, token=None)
    status = await heal.status()
    assert (status["enabled"], status["dry_run"]) == (False, True)
    await heal.post(SMOKE)
    assert await heal.reasons() == ["disabled"]
    assert await heal.kinds() == ["decision_skip"]


async def test_an_action_runs_and_its_alert_resolves(autoheal) -> None:
    heal = await autoheal(policy(["/bin/echo", "restarting", "{svc}"]))
    now = time.time()
    assert await heal.post(alert(starts=now)) == 200
    (ok,) = await heal.wait_for("action_ok")
    assert (ok["cmd"], ok["output"]) == (["/bin/echo", "restarting", "rss_agg"], "restarting rss_agg")
    assert await heal.post(alert(starts=now, ends=time.time())) == 200
    (healed,) = await heal.wait_for("healed")
    assert 0 <= healed["after_sec"] < 5
    assert await heal.kinds() == ["action_start", "action_ok", "decision_skip", "healed"]
    samples = await heal.metrics()
    assert samples['autoheal_actions_total{alertname="HeartbeatMiss",result="ok"}'] == 1
    assert samples['autoheal_verdicts_total{result="healed"}'] == 1


async def test_an_alert_that_does_not_resolve_in_time_is_on_record(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"], verify_for_sec=1))
    await heal.post(alert(starts=time.time()))
    await heal.wait_for("not_healed")
    assert await heal.kinds() == ["action_start", "action_ok", "not_healed"]


async def test_a_failure_is_on_record_with_its_output(autoheal) -> None:
    heal = await autoheal(policy(["/bin/sh", "-c", "echo no such container; exit 1"]))
    await heal.post(alert())
    (fail,) = await heal.wait_for("action_fail")
    assert (fail["error"], fail["exit_code"], fail["output"]) == ("exit status 1", 1, "no such container")
    assert (await heal.metrics())['autoheal_action_failures_total{alertname="HeartbeatMiss"}'] == 1


async def test_a_hundred_duplicates_from_two_alertmanagers_run_once(autoheal, tmp_path) -> None:
    count = tmp_path / "count"
    heal = await autoheal(policy(["/bin/sh", "-c", f"echo x >> {count}; sleep 1"]))
    message = alert(starts=time.time() - 5)
    codes = await asyncio.gather(*(heal.post(message) for _ in range(100)))
    assert set(codes) == {200}
    await heal.wait_for("action_ok")
    assert await heal.post(message) == 200
    assert count.read_text() == "x\n"
    reasons = await heal.reasons()
    assert len(reasons) == 100
    assert set(reasons) <= {"in_flight", "duplicate"}


async def test_a_long_action_is_one_delivery_that_was_answered_before_it(autoheal) -> None:
    heal = await autoheal(policy(["/bin/sleep", "4"]))
    assert await heal.post(alert(starts=time.time())) == 200
    assert "action_ok" not in [record["kind"] for record in heal.records()], "answered before it is over"
    await heal.wait_for("action_ok")
    assert len(await heal.audit(kind="action_start")) == 1


async def test_what_is_resolved_runs_nothing(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    now = time.time()
    assert await heal.post(alert(starts=now - 60, ends=now)) == 200
    assert await heal.reasons() == ["not_firing"]
    assert await heal.kinds() == ["decision_skip"]


async def test_the_kill_switch_stops_what_waits(autoheal) -> None:
    heal = await autoheal(policy(["/bin/sleep", "1.5"], concurrency=1, breaker={"actions": 100}))
    assert await heal.post(*(alert(svc=f"svc{n}") for n in range(6))) == 200
    await heal.wait_for("action_start")
    heal.kill_switch.touch()
    await until(lambda: sum("kill_switch" in line for line in heal.journal.read_text().splitlines()) == 5)
    assert len(await heal.audit(kind="action_start")) == 1
    assert (await heal.status())["kill_switch"]["on"]
    heal.kill_switch.unlink()
    await heal.post(alert(svc="svc3"))
    await heal.wait_for("action_start", 2)


async def test_alerts_about_autoheal_are_never_acted_on(autoheal) -> None:
    text = policy(["/bin/true"]).replace('"HeartbeatMiss"', '".*"')
    heal = await autoheal(text)
    await heal.post(alert("AutohealActionFailureSpike"), alert("Autoheal"))
    assert await heal.reasons() == ["own_alert", "own_alert"]


async def test_an_annotation_names_only_what_the_rule_allows(autoheal, tmp_path) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    for text in ("touch " + str(tmp_path / "pwned"), "$(id)", "", "restart; id", "Restart"):
        await heal.post(alert(annotations={"autoheal_action": text}))
    assert await heal.reasons() == ["rule"] * 5
    await heal.post(alert(annotations={"autoheal_action": "restart"}))
    await heal.wait_for("action_ok")
    assert not (tmp_path / "pwned").exists()


async def test_the_breaker_opens_stays_open_over_a_restart_and_is_reset_by_an_operator(autoheal) -> None:
    text = policy(["/bin/true"], breaker={"actions": 2, "window_sec": 3600}, concurrency=1)
    heal = await autoheal(text)
    for number in range(4):
        await heal.post(alert(svc=f"svc{number}"))
        await heal.wait_for("action_ok" if number < 2 else "decision_skip", 1 + number % 2)
    assert await heal.kinds() == ["action_start", "action_ok"] * 2 + [
        "breaker_open",
        "decision_skip",
        "decision_skip",
    ]
    await heal.stop()
    again = await autoheal(text, folder=heal.folder)
    assert (await again.status())["breaker"]["open"]
    assert (await again.request("POST", "/breaker/reset"))[0] == 200
    (reset,) = await again.audit(kind="breaker_reset")
    assert reset["principal"] == "operator"
    await again.post(alert(svc="svc9"))
    await again.wait_for("action_ok", 3)


async def test_a_full_queue_is_a_503_and_nothing_of_the_webhook_is_taken(autoheal) -> None:
    heal = await autoheal(policy(["/bin/sleep", "3"], breaker={"actions": 1000}))
    assert await heal.post(*(alert(svc=f"a{n}") for n in range(90))) == 200
    assert await heal.post(*(alert(svc=f"b{n}") for n in range(30))) == 503
    assert len(await heal.audit(kind="alert_accepted")) == 90


async def test_ten_thousand_alertnames_make_no_series(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    before = len(await heal.metrics())
    for start in range(0, 10_000, 2_000):
        assert await heal.post(*(alert(f"Random{n}") for n in range(start, start + 2_000))) == 200
    samples = await heal.metrics()
    assert len(samples) == before
    assert samples['autoheal_actions_total{alertname="other",result="skip"}'] == 10_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"alerts": 5}', b'{"alerts":[{"status":"odd"}]}', b"\xff\xfe", b"[" * 100_000],
)
async def test_what_is_no_webhook_is_a_400_and_no_event(autoheal, body) -> None:
    heal = await autoheal(REPLACED, live=False)
    code, text = await heal.request("POST", "/alert", data=body)
    assert (code, "no webhook" in text) == (400, True)
    assert await heal.kinds() == []


async def test_watchdogs_are_heard_and_are_no_events(autoheal) -> None:
    heal = await autoheal(REPLACED, live=False)
    assert (await heal.status())["watchdog_age_sec"] is None
    assert await heal.post(alert("Watchdog", starts=1.0)) == 200
    assert (await heal.status())["watchdog_age_sec"] < 5
    assert await heal.audit(kind="webhook_received") == []


async def test_listeners_get_what_they_asked_for_and_go_on_where_they_were(autoheal) -> None:
    heal = await autoheal(REPLACED, live=False)
    await heal.post(SMOKE)
    async with ClientSession(timeout=ClientTimeout(total=10), headers=heal.headers) as session:

        async def read(count, query="", **headers):
            frames = []
            async with session.get(f"{heal.url}/events{query}", headers=headers) as answer:
                assert answer.headers["Content-Type"].startswith("text/event-stream")
                while len(frames) < count:
                    line = (await answer.content.readline()).decode()
                    if line.startswith("data: "):
                        frames.append(json.loads(line[6:]))
            return frames

        listening = asyncio.create_task(read(1, "?kind=decision_skip&alertname=TcpEndpointDownFast"))
        await asyncio.sleep(0.3)
        await heal.post(alert("Other"))
        await heal.post(SMOKE)
        (event,) = await listening
        assert (event["kind"], event["reason"]) == ("decision_skip", "disabled")
        first = (await heal.audit())[0]["seq"]
        missed = await read(3, **{"Last-Event-ID": str(first)})
        assert [each["seq"] for each in missed] == [first + 1, first + 2, first + 3]


async def test_a_policy_is_reloaded_and_a_bad_one_never_replaces_a_good_one(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    config = heal.folder / "autoheal.yml"
    config.write_text("actions: 5\n")
    code, text = await heal.request("POST", "/-/reload")
    assert (code, "autoheal.yml:1: actions: found 5" in text) == (500, True)
    assert list((await heal.status())["actions"]) == ["restart"]
    config.write_text(REPLACED)
    assert (await heal.request("POST", "/-/reload"))[0] == 200
    assert list((await heal.status())["actions"]) == ["docker restart crm-api"]


async def test_a_record_that_cannot_be_written_stops_everything_and_says_so(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    heal.journal.rename(heal.folder / "moved")
    assert await heal.post(alert()) == 503
    assert await heal.post(alert()) == 503
    assert (await heal.request("GET", "/-/ready"))[0] == 503
    assert (await heal.metrics())["autoheal_state_writable"] == 0
    assert (await heal.status())["status"] == "fault"
    (heal.folder / "moved").rename(heal.journal)
    await asyncio.sleep(1.5)
    assert await heal.post(alert()) == 200
    await heal.wait_for("action_ok")


async def refused(autoheal, *args, **given) -> str:
    with pytest.raises(AssertionError) as error:
        await autoheal(*args, **given)
    return str(error.value)


async def test_it_refuses_to_go_live_without_a_token(autoheal) -> None:
    assert "AUTOHEAL_TOKEN_FILE is not set" in await refused(autoheal, REPLACED, token=None)


async def test_it_refuses_two_ways_of_logging_in(tmp_path) -> None:
    config, hashed = tmp_path / "web.yml", "$2b$04$" + "a" * 53
    config.write_text(f"basic_auth_users: {{me: {hashed}}}\n")
    with pytest.raises(StartError, match="basic_auth_users and AUTOHEAL_TOKEN_FILE"):
        await run(
            Address("127.0.0.1", 0), tmp_path / "autoheal.yml", {"AUTOHEAL_TOKEN_FILE": "tokens"}, config
        )


async def test_everything_wrong_at_the_start_is_one_message_without_a_traceback(autoheal) -> None:
    text = await refused(
        autoheal, REPLACED, AUTOHEAL_DRY_RUN="maybe", AUTOHEAL_DEFAULT_COOLDOWN_SEC="-1", live=False
    )
    assert "AUTOHEAL_DRY_RUN: found 'maybe', expected true or false." in text
    assert "AUTOHEAL_DEFAULT_COOLDOWN_SEC" in text
    assert "Traceback" not in text


async def test_a_second_process_on_the_same_record_is_refused(autoheal) -> None:
    heal = await autoheal(REPLACED)
    assert "another autoheal has it" in await refused(autoheal, REPLACED, folder=heal.folder)


async def test_a_broken_record_is_refused_by_line(autoheal, tmp_path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "audit.jsonl").write_text("garbage\n")
    assert "audit.jsonl:1: this line is no event" in await refused(autoheal, REPLACED, folder=folder)


async def test_it_stops_in_time_and_leaves_its_action_running_but_on_record(autoheal, tmp_path) -> None:
    done = tmp_path / "done"
    heal = await autoheal(policy(["/bin/sh", "-c", f"sleep 3; echo finished; touch {done}"]))
    await heal.post(alert())
    await heal.wait_for("action_start")
    await asyncio.sleep(0.3)
    with stopwatch(heal.process.pid) as watch:
        assert await heal.stop() == 0
    assert watch.seconds < 2.0
    last = heal.records()[-1]
    assert last["kind"] == "action_interrupted"
    assert len(last["survivors"]) >= 1
    await until(done.exists)


async def test_a_token_is_exchanged_without_a_gap(autoheal) -> None:
    heal = await autoheal(REPLACED, live=False)
    tokens = heal.folder / "tokens"
    new = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    assert (await heal.request("GET", "/", headers=new))[0] == 401
    tokens.write_text(f"operator {TOKEN}\noperator {OTHER_TOKEN}\n")
    assert [(await heal.request("GET", "/", headers=each))[0] for each in ({}, new)] == [200, 200]
    tokens.write_text(f"operator {OTHER_TOKEN}\n")
    assert [(await heal.request("GET", "/", headers=each))[0] for each in ({}, new)] == [401, 200]
    tokens.write_text("nothing sound\n")
    assert (await heal.request("GET", "/", headers=new))[0] == 200


def test_the_zero_time_of_go_is_no_beginning() -> None:
    assert json.loads(webhook(alert()))["alerts"][0]["startsAt"] == NEVER
