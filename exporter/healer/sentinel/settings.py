"""The environment variables that the sentinel reads, all checked at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from healer.web.config import load as load_web_config
from healer.web.tokens import TokenError, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping


class SettingsError(Exception):
    """The environment cannot be used; the message has a line for everything that is wrong, and no secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sentinel runs.

    Attributes:
        tokens: SENTINEL_TOKEN_FILE: who may deliver webhooks; None: whoever reaches the port.
    """

    tokens: Tokens | None = None

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
        if problems:
            raise SettingsError("\n".join(problems))
        return cls(tokens)


def _tokens(path: str, problems: list[str]) -> Tokens | None:
    if not path:
        return None
    try:
        return Tokens(Path(path))
    except TokenError as error:
        problems.append(f"SENTINEL_TOKEN_FILE: {error}")
        return None
