"""What autoheal answers over HTTP: /alert, status, /audit, /events and the breaker's reset."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiohttp import web

from healer.autoheal.access import principal_of
from healer.autoheal.alerts import WebhookError, decode
from healer.autoheal.events import encode
from healer.autoheal.journal import JournalError
from healer.autoheal.trail import REMEMBERED, Filter
from healer.autoheal.waiting import FullError
from healer.runtime.log import Throttle
from healer.web import sse

if TYPE_CHECKING:
    from healer.autoheal.access import Access
    from healer.autoheal.dispatch import Dispatcher
    from healer.autoheal.events import Event
    from healer.autoheal.metrics import Counts
    from healer.autoheal.trail import Trail
    from healer.runtime.clock import Clock

MAX_BODY = 8 << 20
"""Bytes: some five thousand alerts."""

JSON = "application/json"
MAX_LISTENERS = 32
COMMENT_SECONDS = 15.0
DEFAULT_COUNT = 200


class Routes:
    """The resources."""

    def __init__(
        self, dispatcher: Dispatcher, trail: Trail, access: Access, counts: Counts, clock: Clock
    ) -> None:
        self._dispatcher = dispatcher
        self._trail = trail
        self._access = access
        self._counts = counts
        self._throttle = Throttle(clock, 60.0)
        self._log = structlog.get_logger(component="web")

    def serve_on(self, app: web.Application) -> None:
        """Add the resources to `app`."""
        app.router.add_post("/alert", self._alert)
        app.router.add_get("/audit", self._audit)
        app.router.add_get("/events", self._events)
        app.router.add_post("/breaker/reset", self._reset)
        app.on_shutdown.append(self._goodbye)

    async def _alert(self, request: web.Request) -> web.Response:
        answer = await self._take(request)
        status, text = (200, "ok") if isinstance(answer, list) else answer
        self._counts.request(status)
        if isinstance(answer, list) and request.headers.get("Accept", "").startswith(JSON):
            return web.Response(body=msgspec.json.encode({"decisions": answer}), content_type=JSON)
        return web.Response(status=status, text=text + "\n")

    async def _take(self, request: web.Request) -> list[Event] | tuple[int, str]:
        """Return what was decided, or the status and text of a refusal."""
        try:
            return await self._dispatcher.receive(decode(await request.read()))
        except WebhookError as error:
            held = self._throttle.admit("bad request")
            if held is not None:
                self._log.warning("webhook refused", reason=str(error), remote=request.remote, held_back=held)
            return 400, str(error)
        except web.HTTPRequestEntityTooLarge:
            return 413, f"the body is larger than {MAX_BODY} bytes; group alerts into smaller notifications"
        except (FullError, JournalError) as error:
            return 503, f"try again: {error}"

    async def _audit(self, request: web.Request) -> web.Response:
        try:
            count = _number(request, "n", DEFAULT_COUNT)
            wanted = _filter(request)
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        found = self._trail.newest(wanted, max(0, min(int(count), REMEMBERED)))
        return web.Response(body=msgspec.json.encode(found), content_type=JSON)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._trail.listeners >= MAX_LISTENERS:
            return web.Response(status=503, text="too many listen\n", headers={"Retry-After": "30"})
        try:
            wanted = _filter(request)
            last = request.headers.get("Last-Event-ID") or request.query.get("last_id") or ""
            seq = int(last) if last else None
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        response = web.StreamResponse(headers=sse.HEADERS)
        listener = self._trail.listen(wanted)
        missed = [] if seq is None else self._trail.after(seq, wanted)
        try:
            await response.prepare(request)
            await response.write(b"retry: 3000\n\n")
            for event in missed:
                await response.write(sse.encode(encode(event), id=str(event.seq)))
            while True:
                try:
                    async with asyncio.timeout(COMMENT_SECONDS):
                        following = await listener.queue.get()
                except TimeoutError:
                    await response.write(sse.COMMENT)
                    continue
                if following is None:
                    break
                await response.write(sse.encode(encode(following), id=str(following.seq)))
        except ConnectionError:
            pass  # the client went; nobody is left to tell
        finally:
            self._trail.leave(listener)
        return response

    async def _reset(self, request: web.Request) -> web.Response:
        csrf = request.headers.get("X-CSRF-Token") or str((await request.post()).get("csrf", ""))
        refusal = self._access.may_change(request, csrf)
        if refusal is not None:
            return refusal
        try:
            was_open = await self._dispatcher.reset_breaker(principal_of(request))
        except JournalError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(text="the breaker is closed\n" if was_open else "the breaker was not open\n")

    async def _goodbye(self, _: web.Application) -> None:
        self._trail.close()


def _filter(request: web.Request) -> Filter:
    query = request.query
    return Filter(
        kind=query.get("kind", ""),
        alertname=query.get("alertname", ""),
        since=_number(request, "since", 0.0),
        contains=query.get("contains", ""),
    )


def _number(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a number")
    return value
