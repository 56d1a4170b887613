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
from healer.sentinel.alerts import WebhookError, decode
from healer.sentinel.delivery import NotReadyError
from healer.sentinel.ledger import LedgerDownError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from healer.runtime.clock import Clock
    from healer.sentinel.delivery import Delivery
    from healer.sentinel.metrics import Counts

MAX_BODY = 8 << 20
"""Bytes: some five thousand alerts."""

DEADLINE_SECONDS = 8.0
"""Alertmanager gives up on an answer after 10 s and delivers again."""


def handler(
    delivery: Delivery, counts: Counts, clock: Clock, wake: Callable[[], None]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the request handler.

    Args:
        delivery: Carries the alerts out.
        counts: Counts requests and alerts.
        clock: For the rate at which bad requests are logged.
        wake: Called after a delivery, so that what it made due is done at once.
    """
    log = structlog.get_logger(component="sentinel")
    throttle = Throttle(clock, 60.0)

    async def answer(request: web.Request) -> tuple[int, str]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                webhook = decode(await request.read())
                for alert in webhook.alerts:
                    counts.alert(alert)
                await delivery.deliver(webhook)
        except WebhookError as error:
            held = throttle.admit("bad request")
            if held is not None:
                log.warning("webhook refused", reason=str(error), remote=request.remote, held_back=held)
            return 400, str(error)
        except web.HTTPRequestEntityTooLarge:
            return 413, f"the body is larger than {MAX_BODY} bytes; group alerts into smaller notifications"
        except (LedgerDownError, NotReadyError) as error:
            return 503, f"try again: {error}"
        except TimeoutError:
            return 503, f"try again: not done within {DEADLINE_SECONDS:g} s"
        return 200, "ok"

    async def post(request: web.Request) -> web.Response:
        status, text = await answer(request)
        counts.request(status)
        wake()
        return web.Response(status=status, text=text + "\n")

    return post
