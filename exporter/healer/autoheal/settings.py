"""The environment variables that autoheal reads, all checked at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from platformdirs import user_state_path

from healer.autoheal.policyfile import DEFAULT_COOLDOWN, LONGEST
from healer.autoheal.scope import Cgroup

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class SettingsError(Exception):
    """The environment cannot be used; the message has a line for everything that is wrong."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How autoheal runs.

    Attributes:
        enabled: AUTOHEAL_ENABLED: whether it decides anything at all.
        dry_run: AUTOHEAL_DRY_RUN: whether it only records what it would do.
        audit_path: AUTOHEAL_AUDIT_PATH: the record.
        cooldown: AUTOHEAL_DEFAULT_COOLDOWN_SEC: where the policy says nothing.
        alertmanager: ALERTMANAGER_URL: where silences are made; empty: nowhere.
        public_url: AUTOHEAL_PUBLIC_URL: how people reach it.
        token_file: AUTOHEAL_TOKEN_FILE: who may use it; None: anyone, and then nothing runs.
        cgroup: AUTOHEAL_CGROUP: whether each command has a cgroup of its own.
    """

    enabled: bool
    dry_run: bool
    audit_path: Path
    cooldown: float
    alertmanager: str
    public_url: str
    token_file: Path | None
    cgroup: Cgroup

    @property
    def live(self) -> bool:
        """Whether actions run."""
        return self.enabled and not self.dry_run

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the variables; an empty one counts as not set.

        Raises:
            SettingsError: At least one is wrong.
        """
        problems: list[str] = []
        folder = Path(
            env.get("STATE_DIRECTORY", "").partition(":")[0] or user_state_path("healer") / "autoheal"
        )
        token = env.get("AUTOHEAL_TOKEN_FILE", "")
        settings = cls(
            enabled=_switch(env, "AUTOHEAL_ENABLED", problems, default=False),
            dry_run=_switch(env, "AUTOHEAL_DRY_RUN", problems, default=True),
            audit_path=Path(env.get("AUTOHEAL_AUDIT_PATH", "") or folder / "audit.jsonl").absolute(),
            cooldown=_seconds(env, "AUTOHEAL_DEFAULT_COOLDOWN_SEC", problems),
            alertmanager=_url(env, "ALERTMANAGER_URL", problems),
            public_url=_url(env, "AUTOHEAL_PUBLIC_URL", problems),
            token_file=Path(token) if token else None,
            cgroup=_cgroup(env, problems),
        )
        if settings.live and settings.token_file is None:
            problems.append(
                "AUTOHEAL_TOKEN_FILE is not set, but AUTOHEAL_ENABLED is true and AUTOHEAL_DRY_RUN is false: whoever"
                " reaches the port could have actions run. Write `NAME TOKEN` to a file and name it."
            )
        if problems:
            raise SettingsError("\n".join(problems))
        return settings


def _switch(env: Mapping[str, str], name: str, problems: list[str], *, default: bool) -> bool:
    text = env.get(name, "").strip()
    if text and text.lower() not in _WORDS:
        problems.append(f"{name}: found {text!r}, expected true or false.")
    return _WORDS.get(text.lower(), default)


def _cgroup(env: Mapping[str, str], problems: list[str]) -> Cgroup:
    text = env.get("AUTOHEAL_CGROUP", "").strip().lower() or Cgroup.AUTO
    if text not in set(Cgroup):
        problems.append(f"AUTOHEAL_CGROUP: found {text!r}, expected {', '.join(Cgroup)}.")
        return Cgroup.AUTO
    return Cgroup(text)


def _seconds(env: Mapping[str, str], name: str, problems: list[str]) -> float:
    text = env.get(name, "").strip()
    if not text:
        return DEFAULT_COOLDOWN
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LONGEST:
        problems.append(f"{name}: found {text!r}, expected seconds from 0 to {LONGEST:.0f}.")
    return value


def _url(env: Mapping[str, str], name: str, problems: list[str]) -> str:
    text = env.get(name, "").strip().rstrip("/")
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        problems.append(f"{name} is no http:// or https:// URL.")
    return text
