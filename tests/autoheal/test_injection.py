"""Whatever a label holds: the command gets it byte for byte, or does not run; nothing else changes."""

from __future__ import annotations

import json
import re
import sys

import pytest

from healer.autoheal.policy import Action, Kind, Label, NotAllowedError

from .conftest import alert, policy

SHOW = "import json,os,sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
NASTY = [
    "; touch pwned", "$(touch pwned)", "`touch pwned`", "| id", "&& id", "> /tmp/x", "a b", "'", '"', "\\", "*", "?",
    "~root", "${IFS}", "%s%n", "{svc}", "{{.}}", "../../etc/passwd", "#", "!", "a=b", "ü", "名前", "\u202eevil", "😀",
]  # fmt: skip
NEVER_AN_ARGUMENT = [
    "", "-rf", "--help", "-", "a\nb", "a\rb", "a\tb", "\0", "a\0b", "\x1b[31m", "\x7f", "\u2028", "\x85", "\ud800", "x" * 1025,
    "x" * 1_000_000,
]  # fmt: skip
PLAIN = ["rss_agg", "a", "A.b-c:9@d", "0", "x" * 128]


def action(**given):
    return Action("restart", Kind.COMMAND, ("/bin/echo", Label("svc")), target="svc", **given)


@pytest.mark.parametrize(
    "value", [*NASTY, *NEVER_AN_ARGUMENT, "x" * 129], ids=lambda value: ascii(value)[:20]
)
def test_by_default_only_plain_names_become_arguments(value):
    with pytest.raises(NotAllowedError) as error:
        action().resolve({"svc": value})
    assert len(value) < 5 or value not in str(error.value), "a reason repeats what came from outside"


@pytest.mark.parametrize("value", PLAIN)
def test_plain_names_are_the_whole_argument(value):
    assert action().resolve({"svc": value}) == (value, ("/bin/echo", value))


@pytest.mark.parametrize("value", NASTY)
def test_a_pattern_that_allows_anything_still_makes_one_argument_of_it(value):
    anything = action(values={"svc": re.compile(".*", re.DOTALL)})
    assert anything.resolve({"svc": value})[1] == ("/bin/echo", value)


@pytest.mark.parametrize("value", NEVER_AN_ARGUMENT, ids=lambda value: ascii(value)[:20])
def test_no_pattern_lets_an_option_a_line_break_or_a_zero_through(value):
    anything = action(values={"svc": re.compile(".*", re.DOTALL)})
    with pytest.raises(NotAllowedError):
        anything.resolve({"svc": value})


async def test_a_command_gets_every_label_byte_for_byte_or_does_not_run(autoheal) -> None:
    values = [value for value in (*NASTY, *NEVER_AN_ARGUMENT) if value != "\ud800"]
    command = [sys.executable, "-I", "-c", SHOW, "first", "{svc}", "last"]
    heal = await autoheal(policy(command, svc="(?s:.*)", breaker={"actions": 1000}, concurrency=4))
    labels = {
        "PATH": "/tmp/evil",
        "LD_PRELOAD": "/tmp/evil.so",
        "IFS": "x",
        "HEALER_ACTION_ID": "mine",
        "HOME": "/evil",
    }
    for value in values:
        assert await heal.post(alert(svc=value, **labels)) == 200
    ran = await heal.wait_for("action_ok", len(NASTY), seconds=60)
    assert {each["reason"] for each in await heal.audit(kind="decision_skip")} == {"rule"}
    assert len(await heal.audit(kind="decision_skip")) == len(values) - len(NASTY)
    seen = []
    for each in ran:
        argv, env = json.loads(each["output"])
        assert (argv[0], argv[2], len(argv)) == ("first", "last", 3)
        assert argv[1] == each["target"]
        assert set(env) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "HEALER_ACTION", "HEALER_ACTION_ID"}
        assert (env["PATH"][:16], env["HOME"], env["HEALER_ACTION_ID"]) == (
            "/usr/local/sbin:",
            "/",
            each["id"],
        )
        seen.append(argv[1])
    assert sorted(seen) == sorted(NASTY)
    assert not list(heal.folder.glob("**/pwned"))


async def test_an_alert_of_a_megabyte_is_never_acted_on_and_not_kept(autoheal) -> None:
    heal = await autoheal(policy(["/bin/true"]))
    assert await heal.post(alert(other="x" * 1_000_000)) == 200
    assert await heal.post(alert("x" * 1_000_000)) == 200
    assert await heal.reasons() == ["rule", "rule"]
    assert heal.journal.stat().st_size < 10_000
