"""The status page's routes: the page itself, its events, and the same as JSON."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import jinja2
from aiohttp import web

from healer import __version__
from healer.exporter.status import MEANINGS, State
from healer.exporter.status_feed import Feed, document
from healer.web.assets import Assets

if TYPE_CHECKING:
    from healer.exporter.status import Row, Survey

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PIECES = 4000
"""Pieces of the template sent at once: about two hundred services."""

MINUTE, HOUR, DAY = 60, 3600, 86400


class StatusPage:
    """Shows a survey to browsers."""

    def __init__(self, survey: Survey) -> None:
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("healer.exporter"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(span=span, limit=limit, filled=filled)
        self._template = environment.get_template("status.html")
        self._survey = survey
        self._own = Assets("healer.exporter")
        self._assets = {**Assets("healer.web").urls, **self._own.urls}
        self._feed = Feed(survey.take)

    def serve_on(self, app: web.Application) -> None:
        """Add the routes to `app`."""
        self._own.serve_on(app)
        app.router.add_get("/status", self._page, allow_head=False)
        app.router.add_get("/status.json", self._json, allow_head=False)
        app.router.add_get("/status/events", self._feed.serve, allow_head=False)

        async def close(_: web.Application) -> None:
            await self._feed.close()

        app.on_shutdown.append(close)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        view = await self._survey.take()
        stream = self._template.stream(
            head=view.head,
            rows=view.rows,
            age=lambda row: age(row, view.head.at),
            State=State,
            meanings=MEANINGS,
            assets=self._assets,
            version=__version__,
        )
        stream.enable_buffering(PIECES)
        response = web.StreamResponse(
            headers={"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
        )
        response.enable_compression()
        await response.prepare(request)
        for piece in stream:
            await response.write(piece.encode())
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _json(self, request: web.Request) -> web.StreamResponse:
        view = await self._survey.take()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_compression()
        await response.prepare(request)
        for piece in document(view):
            await response.write(piece)
            await asyncio.sleep(0)
        await response.write_eof()
        return response


def age(row: Row, at: float) -> float | None:
    """Return the seconds since the service's last beat, or None before the first."""
    return None if row.last is None else max(0.0, at - row.last)


def filled(row: Row, seconds: float | None) -> float:
    """Return how much of a service's bar is filled, in percent: its age of `seconds` against its timeout."""
    if seconds is None:
        return 100.0 if row.state is State.NEVER else 0.0
    return round(100 * min(1.0, seconds / row.timeout), 1)


def limit(seconds: float) -> str:
    """Return a timeout as it was set, where that can be read."""
    return f"{seconds:g} s" if seconds < MINUTE else span(seconds)


def span(seconds: float) -> str:
    """Return a length of time as people say it: `2.1 s`, `1 m 04 s`, `3 h 12 m`, `2 d 4 h`; status.js does the same."""
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} m {whole % MINUTE:02} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} m"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"
