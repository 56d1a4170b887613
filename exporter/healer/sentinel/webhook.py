"""POST /webhook: takes Alertmanager's deliveries and answers so that it retries exactly what has to be retried.

Alertmanager retries a 5xx at once and again at the next flush, and drops a 4xx: so 503 for whatever may succeed
later, 400 only for what never will.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from healer.runtime.log import Throttle
from healer.sentinel.alerts import WebhookError, decode, number
from healer.sentinel.delivery import NotReadyError
from healer.sentinel.ledger import LedgerDownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from healer.runtime.clock import Clock
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.metrics import Counts
    from healer.web.tokens import Tokens

MAX_BODY = 8 << 20
"""Bytes: some five thousand alerts."""

MAX_UNDER_WAY = 8 * MAX_BODY
"""Bytes of all bodies read at the same time: what a flood may cost in memory."""

MOST_UNDER_WAY = 8192
"""Webhooks at the same time; a whole site that dies at once is one for each service."""

DEADLINE_SECONDS = 8.0
"""Alertmanager gives up on an answer after 10 s and delivers again."""


_UNKNOWN = 401


class Receiver:
    """The resource /webhook."""

    def __init__(
        self,
        delivery: Delivery,
        counts: Counts,
        clock: Clock,
        wake: Callable[[], None],
        tokens: Tokens | None = None,
    ) -> None:
        """Make the resource.

        Args:
            delivery: Carries the alerts out.
            counts: Counts requests and alerts.
            clock: For the rate at which bad requests are logged.
            wake: Called after a delivery that brought a beat, so that it is stored at once.
            tokens: Who may deliver; None: whoever reaches the port.
        """
        self._tokens = tokens
        self._under_way = self._bytes = 0
        self._delivery = delivery
        self._counts = counts
        self._wake = wake
        self._throttle = Throttle(clock, 60.0)
        self._running: set[asyncio.Timeout] = set()
        self._log = structlog.get_logger(component="sentinel")

    def serve_on(self, app: web.Application) -> None:
        """Add the resource to `app`."""
        app.router.add_post("/webhook", self._post)
        app.on_shutdown.append(self._hurry)

    async def _post(self, request: web.Request) -> web.Response:
        size = MAX_BODY if request.content_length is None else min(request.content_length, MAX_BODY)
        self._under_way += 1
        self._bytes += size
        try:
            status, text = self._stranger(request) or _refusal(request) or await self._answer(request)
        finally:
            self._under_way -= 1
            self._bytes -= size
        self._counts.request(status)
        if self._delivery.beat_due():
            self._wake()
        headers = {"WWW-Authenticate": 'Bearer realm="sentinel"'} if status == _UNKNOWN else None
        return web.Response(status=status, text=text + "\n", headers=headers)

    def _stranger(self, request: web.Request) -> tuple[int, str] | None:
        """Return the answer to who may not deliver, or not now; before a byte of the body is read."""
        if self._tokens is not None and self._tokens.principal(request.headers.get("Authorization")) is None:
            held = self._throttle.admit("token")
            if held is not None:
                self._log.warning("webhook without a valid token", remote=request.remote, held_back=held)
            return _UNKNOWN, "a token is needed"
        if self._under_way > MOST_UNDER_WAY or self._bytes > MAX_UNDER_WAY:
            return 503, "try again: too much at the same time"
        return None

    async def _answer(self, request: web.Request) -> tuple[int, str]:
        deadline = asyncio.timeout(DEADLINE_SECONDS)
        try:
            async with deadline:
                self._running.add(deadline)
                await self._take(await request.read(), number(request.query.get("repeat", "")) or None)
        except WebhookError as error:
            held = self._throttle.admit("bad request")
            if held is not None:
                self._log.warning("webhook refused", reason=str(error), remote=request.remote, held_back=held)
            return 400, str(error)
        except web.HTTPRequestEntityTooLarge:
            return 413, f"the body is larger than {MAX_BODY} bytes; group alerts into smaller notifications"
        except (LedgerDownError, NotReadyError) as error:
            return 503, f"try again: {error}"
        except TimeoutError:
            return 503, "try again: it took too long, or the sentinel is stopping"
        finally:
            self._running.discard(deadline)
        return 200, "ok"

    async def _take(self, body: bytes, repeat: float | None) -> None:
        webhook = decode(body, repeat)
        for alert in webhook.alerts:
            self._counts.alert(alert)
            if alert.ignored and (held := self._throttle.admit("name")) is not None:
                self._log.warning(
                    "alert passed over: no truth could name its service", svc=alert.svc[:256], held_back=held
                )
        await self._delivery.deliver(webhook)

    async def _hurry(self, _: web.Application) -> None:
        """Answer what is under way with 503 now: the process has to be gone before Redis may answer."""
        for deadline in self._running:
            deadline.reschedule(asyncio.get_running_loop().time())


def _refusal(request: web.Request) -> tuple[int, str] | None:
    """Return the answer to what a browser may send on behalf of some site's page, else None."""
    if "Origin" in request.headers:
        return 403, "a page in a browser may not say what is missing"
    if request.content_type != "application/json":
        return 415, "expected Content-Type: application/json, as Alertmanager sends"
    return None
