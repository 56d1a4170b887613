"""What the user sees; the world behind it is a picture of one."""

import asyncio
import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from healer.demo.events import Heard
from healer.demo.screen import LiveScreen, Screen, screen
from healer.demo.world import State

TITLES = ["rss_agg is killed: heartbeat_miss", "rss_agg returns: heartbeat_ok"]
EVENT = Heard(
    time.time(), b'{"type":"heartbeat_miss","svc":"rss_agg"}', {"type": "heartbeat_miss", "svc": "rss_agg"}
)


class Picture:
    """A world in which one service is missing and one event was published."""

    events = SimpleNamespace()

    def __init__(self) -> None:
        self.events = SimpleNamespace(mark=lambda: 0, follow=self.follow)

    async def follow(self, mark: int):
        yield EVENT
        await asyncio.Event().wait()

    async def states(self) -> list[State]:
        return [
            State("rss_agg", "system-redis", "missing", 7.25),
            State("vexy_ai", "market-redis", "unknown", None),
        ]


async def shown(made: Screen, console: Console, *, fails: bool = False) -> str:
    async with made.showing(Picture(), TITLES):
        made.begins(0)
        await asyncio.sleep(0.05)
        made.passed(0, "0.4 s after its deadline")
        made.begins(1)
        if fails:
            made.failed(1, "no heartbeat_ok came")
    return console.file.getvalue()


async def test_without_a_terminal_it_is_plain_lines_with_the_seconds() -> None:
    console = Console(file=io.StringIO(), width=40)
    text = await shown(screen(console), console, fails=True)
    assert [line[line.index("]") + 2 :] for line in text.splitlines()] == [
        "1/2 rss_agg is killed: heartbeat_miss",
        '    {"type":"heartbeat_miss","svc":"rss_agg"}',
        "    ✓ 0.4 s after its deadline",
        "2/2 rss_agg returns: heartbeat_ok",
        "    ✗ no heartbeat_ok came",
    ]
    assert "\x1b" not in text


@pytest.mark.parametrize(("fails", "last"), [(False, "▶ rss_agg returns"), (True, "✗ rss_agg returns")])
async def test_on_a_terminal_it_is_a_picture_of_services_steps_and_events(fails: bool, last: str) -> None:
    console = Console(file=io.StringIO(), width=100, height=40, force_terminal=True, color_system=None)
    made = screen(console)
    assert isinstance(made, LiveScreen)
    text = await shown(made, console, fails=fails)
    final = text[text.rindex("service ") :]
    assert "rss_agg  system-redis  missing  7.2 s ago" in final
    assert "vexy_ai  market-redis  unknown" in final
    assert "✓ rss_agg is killed: heartbeat_miss  0.4 s after its deadline" in final
    assert last in final
    assert '{"type":"heartbeat_miss","svc":"rss_agg"}' in final


async def test_on_a_narrow_terminal_what_is_too_long_goes_on_below_its_own_beginning() -> None:
    console = Console(file=io.StringIO(), width=40, height=40, force_terminal=True, color_system=None)
    text = await shown(screen(console), console)
    final = [line.rstrip() for line in text[text.rindex("service ") :].splitlines()]
    begun = next(index for index, line in enumerate(final) if line.startswith("✓ "))
    assert final[begun : begun + 2] == [
        "✓ rss_agg is killed: heartbeat_miss  0.4",
        "  s after its deadline",
    ]
    made = LiveScreen(console)
    made.say("starting three servers, which takes a while")
    made.hints(["redis-cli -p 6379 SUBSCRIBE healer:alerts"])
    assert console.file.getvalue().endswith(
        "starting three servers, which\ntakes a while\nredis-cli -p 6379 SUBSCRIBE healer:alerts\n"
    )
    event = next(index for index, line in enumerate(final) if '{"type"' in line)
    assert final[event].index("{") == 10
    assert final[event].partition("{")[2] + final[event + 1].strip() == str(EVENT)[1:]
    assert final[event + 1].startswith(" " * 10)


async def test_square_brackets_in_a_message_are_shown_as_they_are() -> None:
    console = Console(file=io.StringIO())
    Screen(console).say("[red] is no colour here")
    assert "[red] is no colour here" in console.file.getvalue()
