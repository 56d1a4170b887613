"""The console and the acknowledgement page: live, inert whatever an alert holds, and usable on a phone."""

from __future__ import annotations

import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect
from tests.autoheal.conftest import TOKEN, Autoheal, alert, autoheal, policy
from tests.browser.conftest import tab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, Page

__all__ = ["autoheal"]  # a fixture: pytest finds it by its name in this module

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
LOGIN = {"http_credentials": {"username": "operator", "password": TOKEN}}
XSS = [
    "<img src=x onerror=\"document.title='pwned'\">",
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "\"><svg onload=document.title='pwned'>",
    "javascript:document.title='pwned'",
    "' onmouseover='document.title=\"pwned\"",
    "</textarea></title><iframe srcdoc=\"<script>parent.document.title='pwned'</script>\">",
    "{{constructor.constructor('document.title=1')()}}",
    "<a href=javascript:document.title='pwned' autofocus onfocus=document.title='pwned'>x</a>",
    "<style>@import 'http://evil.example/x.css'</style>",
    "<base href=http://evil.example/>",
    "\u2028document.title='pwned'",
    "data: x\n\nevent: evil\ndata: {}",
]


@asynccontextmanager
async def console(
    browser: Browser, heal: Autoheal, path: str = "/console", **more: Any
) -> AsyncIterator[Page]:
    async with tab(browser, heal.url + path, **LOGIN, **more) as page:
        if path == "/console":
            await expect(page.locator("#link")).to_have_text("live", timeout=15_000)
        yield page


async def test_whatever_an_alert_holds_is_only_text(autoheal, chromium) -> None:
    heal = await autoheal(
        policy(["/bin/echo", "{svc}"], svc="(?s:.*)", breaker={"actions": 100}, concurrency=4)
    )
    dialogs: list[str] = []
    async with console(chromium, heal) as page:
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        for text in XSS:
            await heal.post(alert(svc=text, annotations={"summary": text}), alert(text))
        for text in XSS:
            await expect(page.locator("#events")).to_contain_text(
                text.split("\n")[0].strip("\u2028"), timeout=15_000
            )
        assert await page.title() == "Autoheal"
        assert (
            await page.locator("#events img, #events script, #events svg, iframe, base, #events a").count()
            == 0
        )
        await page.reload()
        await expect(page.locator("#events li").first).to_be_visible()
        assert await page.title() == "Autoheal"
    context = await chromium.new_context(
        **LOGIN
    )  # no `tab`: a page of JSON has no icon to name, and is asked for one
    page = await context.new_page()
    await page.goto(f"{heal.url}/audit")
    assert await page.locator("img, script, svg, iframe, base").count() == 0
    await context.close()
    for text in XSS:
        labels = quote(json.dumps({"alertname": text, "svc": text}))
        async with tab(chromium, f"{heal.url}/ack?labels={labels}&duration=30m", **LOGIN) as page:
            assert await page.title() == "Silence this alert?"
            assert await page.locator("img, script, svg, iframe, base, a").count() == 0
            assert (await page.locator("td").first.text_content() or "").strip() == text.strip()
    assert dialogs == []


async def test_events_are_filtered_and_gates_count_down(autoheal, chromium) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    async with console(chromium, heal) as page:
        await heal.post(alert())
        await expect(page.locator("#events li", has_text="action_ok")).to_be_visible(timeout=10_000)
        row = page.locator("#targets tr", has_text="rss_agg")
        await expect(row).to_contain_text("min", timeout=10_000)
        before = await row.locator("td").nth(2).text_content()
        await expect(row.locator("td").nth(2)).not_to_have_text(before or "", timeout=10_000)
        await page.get_by_label("kind").fill("action_start")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("#events li")).to_have_count(1)
        await expect(page.locator("#events li b")).to_have_text("action_start")


async def test_the_console_goes_on_after_a_lost_connection(autoheal, chromium) -> None:
    text = policy(["/bin/true"])
    heal = await autoheal(text)
    async with console(chromium, heal) as page:
        await heal.stop(signal.SIGKILL)
        await expect(page.locator("#link")).not_to_have_text("live", timeout=15_000)
        again = await autoheal(text, folder=heal.folder, port=heal.url.rpartition(":")[2])
        await again.post(alert())
        await expect(page.locator("#link")).to_have_text("live", timeout=20_000)
        await expect(page.locator("#events li", has_text="action_ok")).to_have_count(1, timeout=10_000)


async def test_an_operator_resets_the_breaker_from_a_phone(autoheal, chromium) -> None:
    heal = await autoheal(policy(["/bin/true"], breaker={"actions": 1}))
    async with console(chromium, heal, **PHONE) as page:
        await heal.post(alert(svc="a"), alert(svc="b"))
        await expect(page.locator("#state")).to_contain_text("breaker OPEN", timeout=15_000)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="Reset the breaker").tap()
        await expect(page.locator("#state")).to_contain_text("breaker closed", timeout=10_000)
        assert (await heal.audit(kind="breaker_reset"))[0]["principal"] == "operator"


async def test_a_silence_is_asked_for_on_the_page(autoheal, chromium, free_port) -> None:
    heal = await autoheal(policy(["/bin/true"]), ALERTMANAGER_URL=f"http://127.0.0.1:{free_port}")
    labels = quote(json.dumps({"alertname": "A"}))
    context = await chromium.new_context(**LOGIN)
    page = await context.new_page()
    await page.goto(f"{heal.url}/ack?labels={labels}&duration=2h")
    await page.get_by_role("button", name="Silence").click()
    await expect(page.locator("body")).to_contain_text("Alertmanager made no silence")
    assert (await heal.audit(kind="ack"))[0]["principal"] == "operator"
    await context.close()


pytestmark = pytest.mark.timeout(120)
