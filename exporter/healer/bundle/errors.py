"""The one error of this package: what is wrong with what was asked for, all of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class BundleError(Exception):
    """The bundle cannot be made.

    Attributes:
        problems: One sentence each: what was found, what was expected, what to do.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))
