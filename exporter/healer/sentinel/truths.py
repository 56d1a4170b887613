"""Gets the truth from Redis and puts it in force; one that does not load never replaces one that did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from healer.truth.load import parse
from healer.truth.problems import TruthError
from healer.truth.store import StoreError, fetch, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healer.sentinel.delivery import Delivery


class Truths:
    """Feeds a `Delivery` with the truth in a Redis key."""

    def __init__(
        self, url: str, key: str, env: Mapping[str, str], delivery: Delivery, wake: Callable[[], None]
    ) -> None:
        self._url = url
        self._key = key
        self._env = env
        self._delivery = delivery
        self._wake = wake
        self._log = structlog.get_logger(component="truth")

    async def watch(self) -> None:
        """Adopt the truth now and whenever it changes, until cancelled."""
        await watch(self._url, self._key, self._changed)

    async def reload(self) -> str | None:
        """Read the truth anew; return None, or why the old one stays."""
        try:
            return await self._adopt(await fetch(self._url, self._key))
        except StoreError as error:
            self._log.error("truth refused, the last one stays", reason=str(error))
            return str(error)

    async def _changed(self, raw: bytes) -> None:
        await self._adopt(raw)

    async def _adopt(self, raw: bytes) -> str | None:
        try:
            loaded = parse(raw, env=self._env, source=self._key)
        except TruthError as error:
            for problem in error.problems:
                self._log.error("truth problem", problem=problem.render(self._key))
            self._log.error("truth refused, the last one stays", reason=f"{len(error.problems)} problems")
            return str(error)
        if loaded.truth != self._delivery.truth:
            await self._delivery.adopt(loaded.truth)
            self._wake()
            self._log.info(
                "truth adopted", services=len(loaded.truth.services), sha256=loaded.truth.sha256[:12]
            )
        return None
