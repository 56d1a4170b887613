"""A silence is exactly what was asked for, by whom, and made by nobody's accident."""

from __future__ import annotations

import json

import pytest
import yaml
from aiohttp import ClientSession

from healer.autoheal.ack import AckError, parse
from healer.stack import stack

from .conftest import policy

LABELS = json.dumps({"alertname": "TcpEndpointDownFast"})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2h", 7200), ("24h", 86_400), ("1h30m", 5400), ("90s", 90), ("1d", 86_400)],
)
def test_durations_are_read_as_alertmanager_writes_them(text, seconds):
    assert parse(LABELS, text, 86_400).seconds == seconds


@pytest.mark.parametrize(
    ("labels", "duration", "said"),
    [
        ("", "30m", "expected an alertname"),
        ("{}", "30m", "expected an alertname"),
        ('{"svc":"a"}', "30m", "expected an alertname"),
        ('{"alertname":""}', "30m", "expected an alertname"),
        ('{"alertname":"A","svc":""}', "30m", "each with a value"),
        ('{"alertname":"A","a b":"c"}', "30m", "label names"),
        ('{"alertname":["A"]}', "30m", "expected a JSON object"),
        ('["alertname"]', "30m", "expected a JSON object"),
        ("alertname=A", "30m", "expected a JSON object"),
        (json.dumps({"alertname": "A", **{f"l{n}": "x" for n in range(32)}}), "30m", "at most 32"),
        (LABELS, "", "expected one such as 30m"),
        (LABELS, "30", "expected one such as 30m"),
        (LABELS, "-30m", "expected one such as 30m"),
        (LABELS, "forever", "expected one such as 30m"),
        (LABELS, "0m", "more than nothing"),
        (LABELS, "25h", "at most 86400 s"),
        (LABELS, "99999d", "at most 86400 s"),
    ],
)
def test_what_is_too_wide_or_too_long_is_refused(labels, duration, said):
    with pytest.raises(AckError, match=said):
        parse(labels, duration, 86_400)


async def test_a_silence_is_asked_for_then_made_in_alertmanager_by_its_principal(
    autoheal, servers, ports, tmp_path
) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}))
    manager = stack.alertmanager(servers.alertmanager, tmp_path, ports.take(), config)
    try:
        await manager.start()
        await manager.wait_ready()
        heal = await autoheal(policy(["/bin/true"]), ALERTMANAGER_URL=manager.url)
        asked = {"labels": json.dumps({"alertname": "A", "svc": "a.*"}), "duration": "30m"}
        code, page = await heal.request("GET", "/ack", params=asked)
        assert (code, "a.*" in page, "in the name of operator" in page) == (200, True, True)

        async def silences():
            async with ClientSession() as session, session.get(f"{manager.url}/api/v2/silences") as answer:
                return await answer.json()

        assert await silences() == []
        code, text = await heal.request("POST", "/ack", params=asked)
        assert code == 200, text
        (made,) = await silences()
        assert made["createdBy"] == "operator"
        assert made["id"] == json.loads(text)["silence_id"]
        assert sorted(made["matchers"], key=lambda each: each["name"]) == [
            {"isEqual": True, "isRegex": False, "name": "alertname", "value": "A"},
            {"isEqual": True, "isRegex": False, "name": "svc", "value": "a.*"},
        ]
        acks = await heal.audit(kind="ack")
        assert [each.get("silence_id") for each in acks] == [None, made["id"]]
        assert {each["principal"] for each in acks} == {"operator"}
        code, _ = await heal.request("POST", "/ack", params={**asked, "labels": '{"svc":"a"}'})
        assert code == 400
        assert len(await silences()) == 1
    finally:
        await manager.kill()


async def test_an_alertmanager_that_is_gone_is_said_and_on_record(autoheal, free_port) -> None:
    heal = await autoheal(policy(["/bin/true"]), ALERTMANAGER_URL=f"http://127.0.0.1:{free_port}")
    code, text = await heal.request("POST", "/ack", params={"labels": LABELS, "duration": "30m"})
    assert (code, "made no silence" in text) == (502, True)
    assert "silence_id" not in (await heal.audit(kind="ack"))[0]
