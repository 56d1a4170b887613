"""What a bad night brings: a full disk, a clock set back, a policy broken while it matters, garbage on every path."""

from __future__ import annotations

import json
import random
import time

from .conftest import alert, policy
from .test_access import ROUTES

GARBAGE = [
    b"", b"\0" * 1000, b"\xff" * 1000, b"{" * 100_000, b'{"alerts":' + b"[" * 50_000, b'{"alerts":[{"status":"firing","labels":{"a":1}}]}',
    b'{"alerts":[{"status":"firing","labels":null}]}', b'{"alerts":[{"status":"firing","startsAt":"soon"}]}', b"csrf=x&labels=%00",
    b'{"alerts":[{"status":"firing","labels":{"alertname":"HeartbeatMiss","svc":"a"},"startsAt":"9999-12-31T23:59:59Z"}]}',
    b'{"alerts":[{"status":"resolved","labels":{"alertname":"HeartbeatMiss","svc":"c"},"endsAt":"9999-12-31T23:59:59+14:00"}]}',
    b'{"alerts":[{"status":"firing","labels":{"alertname":"HeartbeatMiss","svc":"b"},"startsAt":"0001-01-01T00:00:00+14:00"}]}',
]  # fmt: skip
QUERIES = [
    "?n=-1", "?n=1e9", "?n=", "?n=%00", "?since=nan", "?since=inf", "?since=-1e400", "?kind=%ff&kind=x", "?contains=%00%ff",
    "?labels=5&duration=0", "?labels={}&duration=-1m", "?labels=[[[[&duration=99999999999999d", "?duration=1m",
    '?labels={"alertname":["a"]}&duration=1m', "?" + "a=b&" * 1500, "?alertname=" + "x" * 6000,
]  # fmt: skip


async def test_garbage_on_every_path_is_refused_and_breaks_nothing(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    dice = random.Random(11)
    tries = [(route, "", body) for route in ROUTES for body in GARBAGE]
    tries += [(route, query, b"") for route in ROUTES for query in QUERIES]
    tries += [(("POST", "/alert"), "", dice.randbytes(dice.randint(1, 3000))) for _ in range(50)]
    for (method, path), query, body in tries:
        if path == "/events" and method == "GET":
            continue  # a stream has no end; its query is that of /audit
        code, text = await heal.request(
            method, path + query, data=body, headers={"Last-Event-ID": "x", "Content-Type": "text/odd"}
        )
        assert code != 500, (method, path, query[:60], body[:60], text[:300])
        assert "Traceback" not in text
    assert "Traceback" not in heal.log.read_text()
    assert await heal.post(alert(svc="after")) == 200
    ran = {each["target"] for each in await heal.wait_for("action_ok", 3)}
    assert ran == {"a", "b", "after"}, "what was a webhook after all, and nothing else"


async def test_a_clock_set_back_ends_no_cooldown(autoheal) -> None:
    text = policy(["/bin/true"], cooldown_sec=600)
    heal = await autoheal(text)
    await heal.post(alert(starts=time.time()))
    await heal.wait_for("action_ok")
    await heal.stop()
    # The same record, as one finds it after the clock was set back by an hour.
    records = [{**each, "ts": each["ts"] + 3600} for each in heal.records()]
    heal.journal.write_text("".join(json.dumps(each) + "\n" for each in records))
    again = await autoheal(text, folder=heal.folder)
    await again.post(alert())
    (skip,) = await again.audit(kind="decision_skip")
    assert skip["reason"] == "cooldown"
    assert 500 < skip["wait_sec"] <= 600


async def test_a_policy_broken_or_gone_on_reload_leaves_the_gates_as_they_are(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    await heal.post(alert())
    await heal.wait_for("action_ok")
    config = heal.folder / "autoheal.yml"
    for broken in (
        "",
        "rules: []",
        "\0",
        "a: &a [*a]",
        '{"actions": {"x": {"kind": "command", "command": "rm"}}}',
    ):
        config.write_text(broken)
        assert (await heal.request("POST", "/-/reload"))[0] == 500, broken
    config.unlink()
    assert (await heal.request("POST", "/-/reload"))[0] == 500
    await heal.post(alert())
    assert await heal.reasons() == ["cooldown"]
    await heal.post(alert(svc="other"))
    await heal.wait_for("action_ok", 2)
