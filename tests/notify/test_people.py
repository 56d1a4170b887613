"""Whom to tell, from the environment: any mix, teams of their own, and files that not everybody may read."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.receivers import secret

from healer.notify.people import Hook, People, PeopleError, Webhook

MAIL = {"SMTP_HOST": "mail.example", "SMTP_FROM": "healer@example.com", "SMTP_TO": "ops@example.com"}


def problems(env: dict[str, str]) -> str:
    with pytest.raises(PeopleError) as error:
        People.from_env(env)
    return str(error.value)


def test_any_mix_of_webhooks_and_mail(tmp_path) -> None:
    files = {
        name: str(secret(tmp_path / name, f"https://{name}.example/hush"))
        for name in ("slack", "discord", "any")
    }
    people = People.from_env(
        {**MAIL, "SLACK_WEBHOOK_URL_FILE": files["slack"], "DISCORD_WEBHOOK_URL_FILE": files["discord"],
         "WEBHOOK_URL_FILE": files["any"]}
    )  # fmt: skip
    assert [(hook.kind, hook.file) for hook in people.hooks] == [
        (Webhook.SLACK, files["slack"]), (Webhook.DISCORD, files["discord"]), (Webhook.GENERIC, files["any"]),
    ]  # fmt: skip
    assert "hush" not in repr(people)
    assert not People.from_env({}).anybody


def test_a_team_has_its_own_and_for_the_rest_everyones(tmp_path) -> None:
    ours, theirs = (secret(tmp_path / name, "https://hooks.slack.com/x") for name in ("ours", "theirs"))
    people = People.from_env(
        {**MAIL, "WEBHOOK_URL_FILE": str(ours), "TEAM_AI_OPS_SLACK_WEBHOOK_URL_FILE": str(theirs),
         "TEAM_MARKETS_SMTP_TO": "markets@example.com"}
    )  # fmt: skip
    ai, markets = people.of_team("ai-ops"), people.of_team("markets")
    assert ai is not None
    assert markets is not None
    assert (ai.hooks, ai.smtp_to) == ((Hook(Webhook.SLACK, str(theirs)),), ("ops@example.com",))
    assert (markets.hooks, markets.smtp_to) == (people.hooks, ("markets@example.com",))
    assert people.of_team("nobody") is None


@pytest.mark.parametrize("name", ["WEBHOOK_URL_FILE", "SLACK_WEBHOOK_URL_FILE", "DISCORD_WEBHOOK_URL_FILE",
                                  "SMTP_PASS_FILE", "TEAM_AI_WEBHOOK_URL_FILE"])  # fmt: skip
def test_a_file_that_everybody_may_read_is_refused(tmp_path, name) -> None:
    path = secret(tmp_path / "url", "https://hooks.slack.com/hush")
    path.chmod(0o644)
    said = problems({name: str(path)})
    assert said == f"{name}: {path}: everybody may read it. Run: chmod o-rwx {path}"
    path.chmod(0o640)
    People.from_env({name: str(path)})


def test_a_relative_path_is_made_absolute_or_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    secret(Path("url"), "https://hooks.slack.com/x")
    secret(Path("pass"), "hush")
    people = People.from_env({**MAIL, "WEBHOOK_URL_FILE": "url", "SMTP_USER": "u", "SMTP_PASS_FILE": "pass"})
    assert people.hooks[0].file == str(tmp_path / "url")
    assert people.smtp_pass_file == str(tmp_path / "pass")
    said = problems({"SMTP_PASS_FILE": "nowhere", "WEBHOOK_URL_FILE": "nowhere", "WEBHOOK_KIND": "slack"})
    assert said.count("give its absolute path, as the process sees it") == 2


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SMTP_PORT": "70000"}, "SMTP_PORT is '70000': expected a number above 0 and at most 65535."),
        ({"TEAM_AI_SMTP_TO": "a@b"}, "TEAM_AI_SMTP_TO is set, but SMTP_HOST is not"),
        ({"SLACK_WEBHOOK_URL": "https://hooks.slack.com/hush"}, "SLACK_WEBHOOK_URL is a secret"),
        ({"SLACK_WEBHOOK_URL_FILE": "/run/a", "WEBHOOK_URL_FILE": "/run/b", "WEBHOOK_KIND": "slack"}, "unset one"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(env, said) -> None:
    found = problems(env)
    assert said in found
    assert "hush" not in found
