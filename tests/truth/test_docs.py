"""docs/truth.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from healer.truth import hosts, maintenance, store, timing
from healer.truth.load import SEVERITIES, parse
from healer.truth.model import Monitor, Service, Source

PAGE = (Path(__file__).parents[2] / "docs" / "truth.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|")
]
DEFAULTS = {row[0]: row[-1].strip("`") for row in ROWS}
MINIMAL = parse(EXAMPLES[0], env={}).truth


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_loads_without_a_warning(example):
    assert parse(example, env={}).warnings == ()


def test_the_keys_that_are_listed_are_those_that_are_read():
    blocks = {"`heartbeat`", "`threshold`", "`maintenance`", "`hosts`"}
    listed = [(row[0], row[1].strip("`")) for row in ROWS if row[0] in blocks]
    assert listed == [
        *(("`heartbeat`", key) for key in timing.HEARTBEAT_KEYS),
        *(("`threshold`", key) for key in timing.THRESHOLD_KEYS),
        *(("`maintenance`", key) for key in maintenance.WINDOW_KEYS),
        *(("`hosts`", key) for key in hosts.HOST_KEYS),
    ]


def test_the_defaults_that_are_listed_are_those_that_hold():
    (service,) = MINIMAL.services
    assert service == Service(
        "rss_agg",
        DEFAULTS["bus"],
        "rss_agg:heartbeat",
        10,
        30,
        Source(DEFAULTS["source"]),
        DEFAULTS["severity"],
    )
    assert DEFAULTS["interval"] == DEFAULTS["own interval"] == f"{service.interval:g} s"
    assert DEFAULTS["timeout"] == DEFAULTS["own timeout"] == f"{service.timeout:g} s"
    assert MINIMAL.bus("system-redis").url == DEFAULTS["URL"].replace("<bus>", "system-redis")
    assert MINIMAL.monitor == Monitor(
        DEFAULTS["name"], DEFAULTS["own beat's channel"], 10, 30, DEFAULTS["events' channel"], "system-redis"
    )
    assert store.location({}) == (DEFAULTS["Redis that it is read from"], DEFAULTS["key"])


def test_the_severities_that_are_listed_are_those_that_are_taken():
    assert (
        "`severity` (" + ", ".join(f"`{name}`" for name in SEVERITIES[:-1]) + f" or `{SEVERITIES[-1]}`)"
        in PAGE
    )


def test_every_environment_variable_that_is_read_is_listed():
    code = "".join(path.read_text() for path in Path(timing.__file__).parent.glob("*.py"))
    read = set(
        re.findall(r'environment\.\w+\(\s*"([A-Z_]+)"|(?:env\.get\(|\(|, )"([A-Z_]+_(?:URL|KEY))"', code)
    )
    assert {name for pair in read for name in pair if name} == set(re.findall(r"env `([A-Z_]+)`", PAGE))
