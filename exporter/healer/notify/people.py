"""Whom to tell, as the environment says: webhooks, mail, and for each team its own.

Nothing secret is in here: a webhook's URL or a password comes as the path of a file, so that no generated file,
process list or log ever holds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from healer.runtime import secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEAM = re.compile(r"TEAM_([A-Z0-9_]+?)_((?:SLACK_|DISCORD_)?WEBHOOK_URL_FILE|WEBHOOK_KIND|SMTP_TO)")
_PLAIN_NAME = re.compile(r"[^A-Z0-9]+")
_MOST_PORT = 65535


RUNBOOK_BASE = "https://github.com/healer-monitoring/healer/blob/main/docs/runbooks/{alert}.md"
"""Where the runbooks are, unless told otherwise; `{alert}` becomes the alert's name."""


class PeopleError(Exception):
    """The environment cannot be used.

    Attributes:
        problems: A sentence for everything that is wrong.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Webhook(StrEnum):
    """What listens behind a webhook URL, and so how it has to be spoken to."""

    SLACK = "slack"
    DISCORD = "discord"
    GENERIC = "generic"

    @classmethod
    def of(cls, url: str) -> Webhook:
        """Return the kind of `url`, by its host."""
        host = urlsplit(url).hostname or ""
        if host == "hooks.slack.com" or host.endswith(".slack.com"):
            return cls.SLACK
        if host in {"discord.com", "discordapp.com"} or host.endswith((".discord.com", ".discordapp.com")):
            return cls.DISCORD
        return cls.GENERIC


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook.

    Attributes:
        kind: What listens there.
        file: The file that holds the URL; absolute.
    """

    kind: Webhook
    file: str


@dataclass(frozen=True, slots=True)
class People:
    """How people are told; with nothing set, nobody is.

    Attributes:
        hooks: The webhooks, one of a kind at most.
        webhook_timeout: Seconds that one call to a webhook may take.
        rate_limit: Seconds between two messages about the same.
        smtp_host: The mail relay, or empty for no mail.
        smtp_port: Its port; 465 speaks TLS from the start, all others begin it with STARTTLS.
        smtp_user: The user to log in as, or empty.
        smtp_pass_file: The file that holds the password; absolute.
        smtp_ca_file: The file with the authorities that may vouch for the relay; empty for the system's. Absolute.
        smtp_from: The sender.
        smtp_to: The recipients.
        teams: Who is told instead about a team's services, by the team's name as it stands in the variables.
    """

    hooks: tuple[Hook, ...] = ()
    webhook_timeout: float = 10.0
    rate_limit: float = 60.0
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_pass_file: str = ""
    smtp_ca_file: str = ""
    smtp_from: str = ""
    smtp_to: tuple[str, ...] = ()
    teams: Mapping[str, People] = field(default_factory=dict)

    @property
    def anybody(self) -> bool:
        """Whether there is anyone to tell."""
        return bool(self.hooks or self.smtp_host)

    def of_team(self, name: str) -> People | None:
        """Return who is told about the services of the team `name`; None if it has nobody of its own."""
        return self.teams.get(team_key(name))

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the variables `*WEBHOOK_*`, `RATE_LIMIT_SEC`, `SMTP_*` and `TEAM_*`.

        Raises:
            PeopleError: A secret is given inline, its file cannot be used, or a number is none.
        """
        problems = [
            f"{name} is a secret and would end up in files and process lists: write it to a file that only who"
            f" sends may read, set {name}_FILE to its path, and unset {name}."
            for name in ("WEBHOOK_URL", "SLACK_WEBHOOK_URL", "DISCORD_WEBHOOK_URL", "SMTP_PASS")
            if env.get(name)
        ]
        people = cls(
            hooks=_hooks(env, "", problems),
            webhook_timeout=seconds(env, "WEBHOOK_TIMEOUT_SEC", 10.0, problems),
            rate_limit=seconds(env, "RATE_LIMIT_SEC", 60.0, problems),
            smtp_host=env.get("SMTP_HOST", ""),
            smtp_port=int(seconds(env, "SMTP_PORT", 587, problems, most=_MOST_PORT)),
            smtp_user=env.get("SMTP_USER", ""),
            smtp_pass_file=file_path(env, "SMTP_PASS_FILE", problems),
            smtp_ca_file=file_path(env, "SMTP_CA_FILE", problems, secret=False),
            smtp_from=env.get("SMTP_FROM", ""),
            smtp_to=_list(env.get("SMTP_TO", "")),
        )
        if people.smtp_host:
            problems += [
                f"{name} is not set, but SMTP_HOST is: mail needs it. Set {name}, or unset SMTP_HOST."
                for name, value in (("SMTP_FROM", people.smtp_from), ("SMTP_TO", people.smtp_to))
                if not value
            ]
        if people.smtp_user and not people.smtp_pass_file and not env.get("SMTP_PASS"):
            problems.append(
                "SMTP_PASS_FILE is not set, but SMTP_USER is: write the password to a file and name it."
            )
        teams = _teams(env, people, problems)
        if problems:
            raise PeopleError(problems)
        return replace(people, teams=teams)


def team_key(name: str) -> str:
    """Return a team's name as it stands in the variables: `ai-ops` is `AI_OPS`."""
    return _PLAIN_NAME.sub("_", name.upper()).strip("_")


def _teams(env: Mapping[str, str], people: People, problems: list[str]) -> dict[str, People]:
    """Return who is told instead for each team that has a variable; what it does not set is as for everyone."""
    names = sorted({found[1] for name in env if env[name] and (found := _TEAM.fullmatch(name))})
    teams = {}
    for name in names:
        prefix = f"TEAM_{name}_"
        hooks = _hooks(env, prefix, problems) or people.hooks
        smtp_to = _list(env.get(f"{prefix}SMTP_TO", ""))
        if smtp_to and not people.smtp_host:
            problems.append(
                f"{prefix}SMTP_TO is set, but SMTP_HOST is not: set it, or unset {prefix}SMTP_TO."
            )
        teams[name] = replace(people, hooks=hooks, smtp_to=smtp_to or people.smtp_to)
    return teams


def _hooks(env: Mapping[str, str], prefix: str, problems: list[str]) -> tuple[Hook, ...]:
    hooks = [
        Hook(kind, path)
        for kind in (Webhook.SLACK, Webhook.DISCORD)
        if (path := file_path(env, f"{prefix}{kind.upper()}_WEBHOOK_URL_FILE", problems))
    ]
    name = f"{prefix}WEBHOOK_URL_FILE"
    path = file_path(env, name, problems)
    kind = _kind(env, prefix, path, problems) if path else None
    if kind is None:
        return tuple(hooks)
    if any(hook.kind is kind for hook in hooks):
        problems.append(f"{name} and {prefix}{kind.upper()}_WEBHOOK_URL_FILE are both for {kind}: unset one.")
    return (*hooks, Hook(kind, path))


def _kind(env: Mapping[str, str], prefix: str, path: str, problems: list[str]) -> Webhook | None:
    name = f"{prefix}WEBHOOK_KIND"
    if kind := env.get(name):
        if kind in set(Webhook):
            return Webhook(kind)
        problems.append(f"{name} is {kind!r}: expected one of {', '.join(Webhook)}.")
        return None
    try:
        return Webhook.of(Path(path).read_text(encoding="utf-8").strip())
    except OSError as error:
        reason = (error.strerror or "an error").lower()
    except ValueError:
        reason = "no URL in it"
    problems.append(
        f"{prefix}WEBHOOK_URL_FILE {path!r} cannot be read here ({reason}), so who listens is unknown:"
        f" set {name} to one of {', '.join(Webhook)}."
    )
    return None


def file_path(env: Mapping[str, str], name: str, problems: list[str], *, secret: bool = True) -> str:
    """Return the absolute path that `name` gives; note one that means another file to another process."""
    text = env.get(name, "")
    if not text:
        return ""
    path = Path(text)
    if not path.is_absolute():
        if not path.exists():
            problems.append(
                f"{name} is {text!r}, and there is no such file here: give its absolute path, as the process sees it"
                " that sends."
            )
            return text
        path = path.absolute()
    if secret and (reason := secrets.exposed(path)):
        problems.append(f"{name}: {reason}")
    return str(path)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def seconds(
    env: Mapping[str, str], name: str, default: float, problems: list[str], *, most: float = 1e9
) -> float:
    """Return the number above 0 that `name` gives, or `default`; note what is none in `problems`."""
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= most:
        limit = f" and at most {most:.0f}" if most == _MOST_PORT else ""
        problems.append(f"{name} is {text!r}: expected a number above 0{limit}.")
        return default
    return value
