"""What is done to the stack: steps drawn from a seed, so that a run can be made again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

PAIRS = ("exporter", "prometheus", "alertmanager", "sentinel")
BUS = "redis"
LONGEST_SECONDS = 4.0
REST_SECONDS = 3.0
"""How long one of a pair is back before the other may go."""


class Action(StrEnum):
    """What can be done to a process."""

    KILL = "kill"
    PAUSE = "pause"
    RESTART = "restart"


@dataclass(frozen=True)
class Step:
    """One thing that is done.

    Attributes:
        victim: Such as `exporter-a`, or `redis`.
        action: What.
        seconds: For how long it is away.
        gap: Seconds until the next step begins, whether or not this one is over.
    """

    victim: str
    action: Action
    seconds: float
    gap: float

    @property
    def kind(self) -> str:
        """What it is one of."""
        return self.victim.partition("-")[0]


def steps(seed: int, count: int) -> list[Step]:
    """Return `count` steps."""
    dice = random.Random(seed)
    victims = [*(f"{kind}-{one}" for kind in PAIRS for one in "ab"), BUS]
    return [
        Step(
            dice.choice(victims),
            dice.choice(list(Action)),
            dice.uniform(0.2, LONGEST_SECONDS),
            dice.uniform(0.0, 5.0),
        )
        for _ in range(count)
    ]
