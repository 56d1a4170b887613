"""What was accepted and waits for its turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from healer.autoheal.alerts import Alert
    from healer.autoheal.gates import Request
    from healer.autoheal.policy import Action

QUEUE = 100
"""Requests that may wait; a webhook that does not fit is refused, and Alertmanager sends it again."""


class FullError(Exception):
    """There is no room for what a webhook asks for; try again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request with all that is needed to carry it out.

    Attributes:
        request: What the gates know of it.
        action: What is to be done.
        argv: The exact command.
        alert: Why.
        since: Since when it waits (an instant).
    """

    request: Request
    action: Action
    argv: tuple[str, ...]
    alert: Alert
    since: float

    @property
    def shown(self) -> tuple[str, ...]:
        """What is done, for the record."""
        return self.argv or ("POST", self.action.url)
