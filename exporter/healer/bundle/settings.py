"""What the bundle has to know besides the truth: where things run, how often, and whom to tell.

Nothing secret is in here but by explicit wish: a webhook URL or a password comes as the path of a file that
Alertmanager reads, so that no generated file ever holds one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from healer.bundle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping


SHORTEST_SECONDS = 0.001
"""The resolution of durations in Prometheus' and Alertmanager's files."""


class Webhook(StrEnum):
    """What listens behind a webhook URL, and so how Alertmanager has to speak to it."""

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
class People:
    """How people are told; with nothing set, nobody is, and the file says so.

    Attributes:
        webhook: What listens behind the webhook URL, or None without one.
        webhook_file: The file that holds the URL, as Alertmanager sees it.
        webhook_timeout: Seconds that one call to the webhook may take.
        rate_limit: Seconds between two messages about the same alert and bus.
        smtp_host: The mail relay, or empty for no mail.
        smtp_port: Its port.
        smtp_user: The user to log in as, or empty.
        smtp_pass_file: The file that holds the password, as Alertmanager sees it.
        smtp_from: The sender.
        smtp_to: The recipients.
    """

    webhook: Webhook | None = None
    webhook_file: str = ""
    webhook_timeout: float = 10.0
    rate_limit: float = 60.0
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_user: str = ""
    smtp_pass_file: str = ""
    smtp_from: str = ""
    smtp_to: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read `WEBHOOK_*`, `RATE_LIMIT_SEC` and `SMTP_*`.

        Raises:
            BundleError: A secret is given inline, its file cannot be read, or a number is none; all at once.
        """
        problems: list[str] = []
        people = cls(
            webhook=_webhook(env, problems),
            webhook_file=env.get("WEBHOOK_URL_FILE", ""),
            webhook_timeout=_seconds(env, "WEBHOOK_TIMEOUT_SEC", 10.0, problems),
            rate_limit=_seconds(env, "RATE_LIMIT_SEC", 60.0, problems),
            smtp_host=env.get("SMTP_HOST", ""),
            smtp_port=int(_seconds(env, "SMTP_PORT", 587.0, problems)),
            smtp_user=env.get("SMTP_USER", ""),
            smtp_pass_file=env.get("SMTP_PASS_FILE", ""),
            smtp_from=env.get("SMTP_FROM", ""),
            smtp_to=tuple(part.strip() for part in env.get("SMTP_TO", "").split(",") if part.strip()),
        )
        if env.get("SMTP_PASS"):
            problems.append(_inline("SMTP_PASS"))
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
        if problems:
            raise BundleError(problems)
        return people


def _inline(name: str) -> str:
    return (
        f"{name} is a secret and would end up in alertmanager/alertmanager.yml: write it to a file that only"
        f" Alertmanager can read, set {name}_FILE to its path, and unset {name}."
    )


def _webhook(env: Mapping[str, str], problems: list[str]) -> Webhook | None:
    if env.get("WEBHOOK_URL"):
        problems.append(_inline("WEBHOOK_URL"))
    path = env.get("WEBHOOK_URL_FILE")
    if not path:
        return None
    kind = env.get("WEBHOOK_KIND")
    if kind:
        if kind in set(Webhook):
            return Webhook(kind)
        problems.append(f"WEBHOOK_KIND is {kind!r}: expected one of {', '.join(Webhook)}.")
        return None
    try:
        return Webhook.of(Path(path).read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        problems.append(
            f"WEBHOOK_URL_FILE {path!r} cannot be read here ({error}), so who listens is unknown:"
            f" set WEBHOOK_KIND to one of {', '.join(Webhook)}."
        )
        return None


def _seconds(env: Mapping[str, str], name: str, default: float, problems: list[str]) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        problems.append(f"{name} is {text!r}: expected a number above 0.")
        return default
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the parts run and how fast they turn. All durations are seconds.

    Attributes:
        exporters: Scrape targets of job `heartbeat`.
        sentinels: Scrape targets of job `sentinel`; each also receives webhooks at `http://TARGET/webhook`.
        autoheals: Scrape targets of job `autoheal`; each also receives webhooks at `http://TARGET/alert`. None: no
            autoheal runs.
        sentinel_credentials: The file that holds the token for the sentinels, as Alertmanager sees it; empty: they
            take no token.
        autoheal_credentials: The file that holds the token for autoheals, as Prometheus and Alertmanager see it; empty:
            they take no token.
        alertmanagers: Where Prometheus sends alerts; also scrape targets of job `alertmanager`.
        prometheus: Where Prometheus scrapes itself.
        scrape_interval: Time between two scrapes.
        evaluation_interval: Time between two evaluations of the rules.
        resend_delay: Prometheus' `--rules.alert.resend-delay`, which is a flag and has to be passed to it as
            well: how old a Watchdog can be when Alertmanager sends it on.
        group_interval: Alertmanager's, of the sentinel's routes: how long a recovery waits at most.
        runbook_base: Pattern of the runbooks' URLs; `{alert}` becomes the alert's name.
        alertmanager_version: The oldest Alertmanager that has to read the file: `(major, minor)`.
        people: Whom to tell.
    """

    exporters: tuple[str, ...] = ("127.0.0.1:9877",)
    sentinels: tuple[str, ...] = ("127.0.0.1:9878",)
    sentinel_credentials: str = ""
    autoheals: tuple[str, ...] = ()
    autoheal_credentials: str = ""
    alertmanagers: tuple[str, ...] = ("127.0.0.1:9093",)
    prometheus: tuple[str, ...] = ("127.0.0.1:9090",)
    scrape_interval: float = 5.0
    evaluation_interval: float = 5.0
    resend_delay: float = 10.0
    group_interval: float = 5.0
    runbook_base: str = "https://github.com/healer-monitoring/healer/blob/main/docs/runbooks/{alert}.md"
    alertmanager_version: tuple[int, int] = (0, 25)
    people: People = field(default_factory=People)

    def __post_init__(self) -> None:
        problems = [
            f"{name} is {getattr(self, name)!r}: expected at least {SHORTEST_SECONDS} seconds."
            for name in ("scrape_interval", "evaluation_interval", "resend_delay", "group_interval")
            if not SHORTEST_SECONDS <= getattr(self, name) < float("inf")
        ]
        problems += [
            f"{name} is empty: expected at least one host:port."
            for name in ("exporters", "sentinels", "alertmanagers", "prometheus")
            if not getattr(self, name)
        ]
        if "{alert}" not in self.runbook_base:
            problems.append(
                f"runbook_base is {self.runbook_base!r}: expected the placeholder {{alert}} in it."
            )
        if problems:
            raise BundleError(problems)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Return the settings of `env`, with those `given` that are not None put over them.

        Raises:
            BundleError: Something in `env` or in what was given cannot be used; all problems at once.
            TypeError: A name in `given` is no setting.
        """
        unknown = sorted(set(given) - {each.name for each in fields(cls)})
        if unknown:
            raise TypeError(f"no such setting: {', '.join(unknown)}")
        values: dict[str, object] = {"people": People.from_env(env)}
        for part in ("sentinel", "autoheal"):
            if path := env.get(f"{part.upper()}_CREDENTIALS_FILE"):
                values[f"{part}_credentials"] = path
        if env.get("HEALER_RUNBOOK_BASE"):
            values["runbook_base"] = env["HEALER_RUNBOOK_BASE"]
        values |= {name: value for name, value in given.items() if value is not None}
        return cls(**values)  # type: ignore[arg-type]  # names are checked above, values by whoever gives them

    def runbook(self, alert: str) -> str:
        """Return the URL of `alert`'s runbook."""
        return self.runbook_base.replace("{alert}", alert)
