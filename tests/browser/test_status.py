"""The status page as somebody at three in the morning uses it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from tests.browser.conftest import tab

if TYPE_CHECKING:
    from playwright.async_api import Page

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
EVIL = '<img src=x onerror="document.title=1">'


def row(page: Page, svc: str):
    return page.locator(f"tr[data-svc={svc}]")


async def states(page: Page) -> dict[str, str]:
    rows = await page.locator("#rows tr").evaluate_all(
        "rows => rows.map(row => [row.dataset.svc, row.querySelector('.state').textContent])"
    )
    return dict(rows)


async def live(page: Page) -> None:
    await expect(page.locator("#live")).to_have_text("live", timeout=15_000)


async def test_a_service_that_falls_silent_moves_up_as_its_age_grows(fleet, chromium) -> None:
    async with fleet("massive", "mesh", "rss_agg") as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        await expect(row(page, "mesh").locator(".state")).to_have_text("beating")
        running.silent.add("rss_agg")
        await expect(row(page, "rss_agg").locator(".state")).to_have_text("overdue", timeout=10_000)
        await expect(row(page, "rss_agg").locator(".state")).to_have_text("past timeout", timeout=10_000)
        assert list(await states(page)) == ["rss_agg", "massive", "mesh"]
        await expect(page.locator("#counts .past b")).to_have_text("1")
        await expect(page).to_have_title("1 past timeout · Healer exporter")
        await expect(row(page, "rss_agg").locator("rect")).to_have_attribute("width", "100.0%")
        await expect(page.locator("#news")).to_have_text("1 past timeout, 2 beating", timeout=10_000)
        running.silent.clear()
        await expect(row(page, "rss_agg").locator(".state")).to_have_text("beating", timeout=10_000)
        assert list(await states(page)) == ["massive", "mesh", "rss_agg"]
        await expect(page).to_have_title("all beating · Healer exporter")


async def test_a_lost_bus_is_said_in_words(fleet, chromium) -> None:
    async with fleet("mesh") as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        await running.bus.kill()
        await expect(page.locator("#buses .word")).to_have_text("not hearing", timeout=15_000)
        await expect(row(page, "mesh").locator(".state")).to_have_text("not watched")
        await running.bus.start()
        await expect(page.locator("#buses .word")).to_have_text("hearing", timeout=15_000)


async def test_a_changed_truth_changes_the_rows(fleet, chromium) -> None:
    async with fleet("massive", "mesh") as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        before = await page.locator("#truth").text_content()
        running.names = ["mesh", "vexy_ai", EVIL]
        await running.seed(limit=6)
        await expect(row(page, "vexy_ai")).to_be_visible(timeout=15_000)
        assert set(await states(page)) == {"mesh", "vexy_ai", EVIL}
        await expect(row(page, "mesh").locator(".limit")).to_have_text("6 s")
        assert await page.locator("#truth").text_content() != before
        assert await page.locator("img").count() == 0


async def test_an_exporter_that_is_gone_is_said_and_ages_stop(fleet, chromium) -> None:
    async with fleet("mesh") as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        await running.exporter.kill()
        await expect(page.locator("#live")).to_have_text(
            re.compile("no answer since .+ is old"), timeout=15_000
        )
        frozen = await row(page, "mesh").locator(".ago").text_content()
        await page.wait_for_timeout(2500)
        assert await row(page, "mesh").locator(".ago").text_content() == frozen
        await running.exporter.start()
        await live(page)


async def test_without_events_the_page_polls(fleet, chromium) -> None:
    async with fleet("mesh") as running:
        context = await chromium.new_context()
        page = await context.new_page()
        await page.route("**/status/events", lambda route: route.fulfill(status=503))
        await page.goto(f"{running.url}/status")
        await expect(page.locator("#live")).to_have_text("renewed every 5 s", timeout=15_000)
        running.silent.add("mesh")
        await expect(row(page, "mesh").locator(".state")).to_have_text("past timeout", timeout=20_000)
        await context.close()


async def test_without_scripts_there_is_a_table_that_renews_itself(fleet, chromium) -> None:
    async with (
        fleet("massive", "mesh") as running,
        tab(chromium, f"{running.url}/status", java_script_enabled=False) as page,
    ):
        assert await page.locator("#rows tr").count() == 2
        assert "ago" in await row(page, "mesh").inner_text()
        assert await page.locator("noscript").count() == 2
        await expect(page.locator("#tools")).to_be_hidden()
        await expect(page.locator("#pause")).to_be_hidden()


async def test_the_keyboard_reaches_everything(fleet, chromium) -> None:
    async with fleet("massive", "mesh") as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.locator("#pause")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#live")).to_have_text(re.compile("paused at"))
        ago = await row(page, "mesh").locator(".ago").text_content()
        await page.wait_for_timeout(2500)
        assert await row(page, "mesh").locator(".ago").text_content() == ago
        await page.keyboard.press("Enter")
        await live(page)
        await page.keyboard.press("Tab")
        await expect(page.locator("#filter")).to_be_focused()
        await page.keyboard.type("mes")
        await expect(row(page, "massive")).to_be_hidden()
        await expect(page.locator("#shown")).to_have_text("1 of 2 shown")
        await page.keyboard.type("xx")
        await expect(page.locator("#none")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(row(page, "massive")).to_be_visible()


async def test_a_screen_reader_finds_a_table_with_headings(fleet, chromium) -> None:
    for settings in ({}, PHONE):
        async with (
            fleet("mesh") as running,
            tab(chromium, f"{running.url}/status", **settings) as page,
        ):
            await live(page)
            table = page.get_by_role("table", name="Services, worst first")
            assert await table.get_by_role("row").count() == 2
            await expect(table.get_by_role("rowheader")).to_have_text("mesh test")
            assert await table.get_by_role("columnheader").all_text_contents() == [
                "Service",
                "State",
                "Last beat",
                "Timeout",
            ]
            await expect(page.get_by_role("searchbox", name="Filter")).to_be_visible()
            await expect(page.get_by_role("heading", level=1)).to_have_text("Heartbeats")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read_in_either_scheme(fleet, chromium, scheme) -> None:
    async with (
        fleet("mesh", "massive") as running,
        tab(chromium, f"{running.url}/status", color_scheme=scheme) as page,
    ):
        await live(page)
        worst = await page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, worst


async def test_nothing_sticks_out_on_a_phone(fleet, chromium) -> None:
    name = "a-service-with-a-name-that-is-far-too-long-for-any-phone-" + "x" * 60
    async with fleet(name, "mesh") as running, tab(chromium, f"{running.url}/status", **PHONE) as page:
        await live(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = await page.locator("#pause").bounding_box()
        assert box["height"] >= 32


async def test_a_thousand_services_do_not_make_it_stutter(fleet, chromium) -> None:
    names = [f"worker-{number:04}" for number in range(1000)]
    async with fleet(*names) as running, tab(chromium, f"{running.url}/status") as page:
        await live(page)
        await page.evaluate(
            "window.slow = []; new PerformanceObserver(list => slow.push(...list.getEntries().map(e => e.duration)))"
            ".observe({entryTypes: ['longtask']})"
        )
        running.silent.update(names[500:520])
        await expect(page.locator("#counts .past b")).to_have_text("20", timeout=20_000)
        assert list(await states(page))[:20] == names[500:520]
        await page.locator("#filter").fill("past")
        assert await page.locator("#rows tr:visible").count() == 20
        slow = await page.evaluate("slow")
        assert max(slow, default=0) < 500, sorted(slow)


CONTRAST = """() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (node) => {
    for (; node; node = node.parentElement) {
      const color = getComputedStyle(node).backgroundColor;
      if (color !== 'rgba(0, 0, 0, 0)') return color;
    }
    return 'rgb(255, 255, 255)';
  };
  let worst = { ratio: 99 };
  for (const node of document.querySelectorAll('body *')) {
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
    if (!node.checkVisibility() || node.tagName === 'NOSCRIPT') continue;
    const [a, b] = [light(getComputedStyle(node).color), light(back(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: node.textContent.slice(0, 40) };
  }
  return worst;
}"""
