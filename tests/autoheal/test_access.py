"""Without a token nothing is shown and nothing is changed; no other site can have a browser do it."""

from __future__ import annotations

import base64
import re

import pytest

from healer.web.tokens import TokenError, Tokens

from .conftest import TOKEN, alert, policy

ROUTES = [
    ("GET", "/"), ("POST", "/alert"), ("GET", "/audit"), ("GET", "/events"), ("GET", "/console"), ("GET", "/ack"),
    ("POST", "/ack"), ("POST", "/breaker/reset"), ("GET", "/metrics"), ("GET", "/-/healthy"), ("GET", "/-/ready"),
    ("POST", "/-/reload"), ("GET", "/nowhere"), ("DELETE", "/audit"),
]  # fmt: skip
BASIC = "Basic " + base64.b64encode(f"operator:{TOKEN}".encode()).decode()
WRONG = [
    "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Token {TOKEN}", TOKEN, "Basic", "Basic !!",
    "Basic " + base64.b64encode(f"other:{TOKEN}".encode()).decode(),
    "Basic " + base64.b64encode(b"operator:").decode(), "Basic " + base64.b64encode(b"\xff\xfe").decode(),
]  # fmt: skip


async def test_every_route_is_closed_without_a_token(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    _, page = await heal.request("GET", "/console")
    assets = re.findall(r'(?:href|src)="(static/[^"]+)"', page)
    assert assets
    for method, path in [*ROUTES, *(("GET", f"/{path}") for path in assets)]:
        code, text = await heal.request(method, path, headers={"Authorization": ""})
        assert (code, text) == (401, "a token is needed\n"), path
    for header in WRONG:
        assert (await heal.request("GET", "/", headers={"Authorization": header}))[0] == 401, header
    assert await heal.kinds() == []


async def test_basic_lets_a_browser_in(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    code, _ = await heal.request("GET", "/console", headers={"Authorization": BASIC})
    assert code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_have_a_browser_act(autoheal, headers) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    for path in ("/alert", "/ack", "/breaker/reset", "/-/reload"):
        code, _ = await heal.request("POST", path, headers={"Authorization": BASIC, **headers})
        assert code == 403
    assert await heal.kinds() == []


async def test_a_change_by_a_browser_needs_what_its_page_had(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    browser = {"Authorization": BASIC}
    assert (await heal.request("POST", "/breaker/reset", headers=browser))[0] == 403
    _, page = await heal.request("GET", "/console", headers=browser)
    csrf = re.search(r'name="csrf" content="(\w+)"', page)[1]
    assert (await heal.request("POST", "/breaker/reset", headers={**browser, "X-CSRF-Token": csrf}))[0] == 200


async def test_without_tokens_nothing_can_be_changed(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]), live=False, token=None)
    for path in ("/ack", "/breaker/reset"):
        code, text = await heal.request("POST", path)
        assert (code, "AUTOHEAL_TOKEN_FILE" in text) == (403, True)


async def test_no_token_is_ever_logged_or_recorded(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    await heal.post(alert())
    await heal.wait_for("action_ok")
    await heal.stop()
    assert TOKEN not in heal.log.read_text() + heal.journal.read_text()


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "no token in it"),
        ("# only a comment\n", 0o600, "no token in it"),
        ("short abc\n", 0o600, ":1: this token is shorter than 16 characters"),
        ("0123456789abcdef0\n", 0o600, ":1: expected NAME TOKEN"),
        ("a 0123456789abcdef\nb two words here and more\n", 0o600, ":2: expected NAME TOKEN"),
        ("a 0123456789abcdef\n", 0o644, "everybody may read it. Run chmod o-rwx."),
        ("".join(f"n{i} 0123456789abcdef{i}\n" for i in range(40)), 0o600, "40 tokens, expected at most 32"),
    ],
)
def test_a_bad_token_file_is_refused_without_showing_a_token(tmp_path, text, mode, said):
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(TokenError) as error:
        Tokens(path)
    assert said in str(error.value)
    assert "0123456789abcdef" not in str(error.value)
