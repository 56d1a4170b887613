"""The environment variables that the sentinel reads, all checked at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from healer.notify.people import RUNBOOK_BASE, People, PeopleError, seconds
from healer.runtime import secrets
from healer.web.config import load as load_web_config
from healer.web.tokens import TokenError, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(Exception):
    """The environment cannot be used; the message has a line for everything that is wrong, and no secret."""


@dataclass(frozen=True)
class Settings:
    """How the sentinel runs.

    Attributes:
        tokens: SENTINEL_TOKEN_FILE: who may deliver webhooks; None: whoever reaches the port.
        people: Whom to tell while Alertmanager cannot.
        repeat: SENTINEL_REPEAT_SEC: after how long they are told again.
        switch: DEADMANSSWITCH_URL_FILE: the file with the URL of a dead man's switch; None: there is none.
        switch_interval: DEADMANSSWITCH_INTERVAL_SEC: seconds between two calls of it.
        runbook: HEALER_RUNBOOK_BASE: the URL of what to do about a silent Watchdog.
    """

    tokens: Tokens | None = None
    people: People = field(default_factory=People)
    repeat: float = 3600.0
    switch: Path | None = None
    switch_interval: float = 60.0
    runbook: str = RUNBOOK_BASE

    @classmethod
    def from_env(cls, env: Mapping[str, str], web_config: Path | None = None) -> Self:
        """Read the variables; an empty one counts as not set.

        Raises:
            SettingsError: At least one is wrong.
            WebConfigError: `web_config` cannot be used.
        """
        problems: list[str] = []
        tokens = _tokens(env.get("SENTINEL_TOKEN_FILE", ""), problems)
        if tokens is not None and web_config is not None and load_web_config(web_config).users:
            problems.append(
                f"{web_config}: basic_auth_users and SENTINEL_TOKEN_FILE cannot both be asked for in one request."
                " Remove one of them."
            )
        people = People()
        try:
            people = People.from_env(env)
        except PeopleError as error:
            problems += error.problems
        switch = env.get("DEADMANSSWITCH_URL_FILE", "")
        _readable({"DEADMANSSWITCH_URL_FILE": switch}, problems)
        _readable(
            {"SMTP_PASS_FILE": people.smtp_pass_file if people.smtp_user else ""}
            | {f"the file of the {hook.kind} webhook": hook.file for hook in people.hooks},
            problems,
        )
        settings = cls(
            tokens=tokens,
            people=people,
            repeat=seconds(env, "SENTINEL_REPEAT_SEC", cls.repeat, problems),
            switch=Path(switch).absolute() if switch else None,
            switch_interval=seconds(env, "DEADMANSSWITCH_INTERVAL_SEC", cls.switch_interval, problems),
            runbook=(env.get("HEALER_RUNBOOK_BASE") or RUNBOOK_BASE).replace("{alert}", "Watchdog"),
        )
        if problems:
            raise SettingsError("\n".join(problems))
        return settings


def _tokens(path: str, problems: list[str]) -> Tokens | None:
    if not path:
        return None
    try:
        return Tokens(Path(path))
    except TokenError as error:
        problems.append(f"SENTINEL_TOKEN_FILE: {error}")
        return None


def _readable(files: Mapping[str, str], problems: list[str]) -> None:
    """Note which of `files`, by what names them, hold no secret that can be read."""
    for name, path in files.items():
        try:
            if path:
                secrets.read(Path(path))
        except secrets.SecretError as error:
            problems.append(f"{name}: {error}")
