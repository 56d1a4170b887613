"""The environment variables that the sentinel reads, all checked at once."""

from __future__ import annotations

import json
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
        switch_body: DEADMANSSWITCH_BODY_FILE: the file with the JSON that it is posted; None: it is called with GET.
        switch_interval: DEADMANSSWITCH_INTERVAL_SEC: seconds between two calls of it.
        runbook: HEALER_RUNBOOK_BASE: the URL of what to do about a silent Watchdog.
    """

    tokens: Tokens | None = None
    people: People = field(default_factory=People)
    repeat: float = 3600.0
    switch: Path | None = None
    switch_body: Path | None = None
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
        body = env.get("DEADMANSSWITCH_BODY_FILE", "")
        _readable({"DEADMANSSWITCH_URL_FILE": switch, "DEADMANSSWITCH_BODY_FILE": body}, problems)
        if body and not switch:
            problems.append(
                "DEADMANSSWITCH_BODY_FILE is set, and no DEADMANSSWITCH_URL_FILE says where to post it."
            )
        elif body and not _is_json(body):
            problems.append(f"DEADMANSSWITCH_BODY_FILE: {body}: expected JSON, on one line.")
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
            switch_body=Path(body).absolute() if body else None,
            switch_interval=seconds(env, "DEADMANSSWITCH_INTERVAL_SEC", cls.switch_interval, problems),
            runbook=(env.get("HEALER_RUNBOOK_BASE") or RUNBOOK_BASE).replace("{alert}", "Watchdog"),
        )
        if problems:
            raise SettingsError("\n".join(problems))
        return settings


def _is_json(path: str) -> bool:
    """Return whether a file holds JSON; true for one that cannot be read, which is noted elsewhere."""
    try:
        json.loads(secrets.read(Path(path)))
    except ValueError:
        return False
    except secrets.SecretError:
        return True
    return True


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
