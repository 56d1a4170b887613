"""The routes every Healer daemon has: landing page, /metrics, /-/healthy, /-/ready and /-/reload."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from healer import __version__
from healer.web.assets import Assets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Sent with every answer that does not say otherwise."""


@dataclass(frozen=True, slots=True)
class Health:
    """What `/health` answers.

    Attributes:
        healthy: 200 if so, else 503.
        body: JSON.
    """

    healthy: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Face:
    """What one daemon shows of itself over HTTP.

    Attributes:
        title: Its name, such as `Healer exporter`.
        about: One sentence for the landing page.
        registry: What /metrics renders at once.
        stream: What /metrics sends before that, piece by piece, in the text format or, if its argument is true,
            in OpenMetrics; for families too large to render at once.
        ready: Returns None when ready, else the reason why not, as a short sentence.
        reload: Reloads the configuration; returns None, or the error text of a reload that failed.
        links: More paths for the landing page, with what each is.
        state: Returns how things stand, for the landing page: a word for what, and how.
        home: Answers at / instead of the landing page; None: that one.
        health: Returns what `/health` answers, from what is known already; None: there is no such path.
    """

    title: str
    about: str
    registry: CollectorRegistry
    ready: Callable[[], str | None]
    reload: Callable[[], Awaitable[str | None]]
    stream: Callable[[bool], Iterable[bytes]] = lambda _: ()
    links: Mapping[str, str] = field(default_factory=dict)
    state: Callable[[], Iterable[tuple[str, str]]] = lambda: ()
    home: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    health: Callable[[], Health] | None = None


def process_registry() -> CollectorRegistry:
    """Return a registry with the conventional `process_*` and `python_*` metrics and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def application(face: Face, *, max_body: int = 1 << 20) -> web.Application:
    """Return an application with the shared routes; a daemon adds its own to it.

    Args:
        face: What to show.
        max_body: The largest request body in bytes; a larger one is refused with 413.
    """
    app = web.Application(client_max_size=max_body)
    app.on_response_prepare.append(_harden)
    assets = Assets("healer.web")
    assets.serve_on(app)

    async def landing(_: web.Request) -> web.Response:
        return web.Response(text=_landing(face, assets), content_type="text/html", charset="utf-8")

    async def metrics(request: web.Request) -> web.StreamResponse:
        encode, content_type = _encoder(request.headers.get("Accept", ""))
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_compression()
        with contextlib.suppress(ConnectionError):  # who gives up on a scrape need not be told
            await response.prepare(request)
            for piece in face.stream(content_type.startswith("application/openmetrics-text")):
                await response.write(piece)
                await asyncio.sleep(0)
            await response.write(encode(face.registry))
            await response.write_eof()
        return response

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text=f"{face.title} is healthy.\n")

    async def ready(_: web.Request) -> web.Response:
        reason = face.ready()
        if reason is None:
            return web.Response(text=f"{face.title} is ready.\n")
        return web.Response(status=503, text=f"{face.title} is not ready: {reason}\n")

    async def reload(request: web.Request) -> web.Response:
        if foreign(request):
            return web.Response(status=403, text="another site's page may not reload\n")
        error = await face.reload()
        if error is None:
            return web.Response(text="reloaded\n")
        return web.Response(
            status=500, text=f"reload failed, the old configuration stays in force:\n{error}\n"
        )

    app.router.add_get("/", face.home or landing)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    app.router.add_post("/-/reload", reload)
    _serve_health(app, face.health)
    return app


def _serve_health(app: web.Application, known: Callable[[], Health] | None) -> None:
    if known is None:
        return

    async def health(_: web.Request) -> web.Response:
        found = known()
        status = 200 if found.healthy else 503
        return web.Response(status=status, body=found.body, content_type="application/json")

    app.router.add_get("/health", health)


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return what renders metrics as `accept` asks for, in the text format where it asks for nothing sensible."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus_client compares versions that are no numbers
        return choose_encoder("")


def foreign(request: web.Request) -> bool:
    """Return whether a page of another site has a browser send this request."""
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2].lower() != request.host.lower()


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "healer"


def _landing(face: Face, assets: Assets) -> str:
    paths = {"/metrics": "metrics", "/-/healthy": "is it running?", "/-/ready": "is it ready?", **face.links}
    if face.health is not None:
        paths["/health"] = "is all well? 200 or 503, and why"
    items = "\n".join(
        f'<li><a href="{escape(path)}">{escape(path)}</a> {escape(text)}</li>' for path, text in paths.items()
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(what)}</th><td>{escape(how)}</td></tr>\n' for what, how in face.state()
    )
    state = f"<table>\n{rows}</table>\n" if rows else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(face.title)}</title>\n"
        f'<link rel="icon" href="{assets.urls["icon.svg"]}"><link rel="stylesheet" href="{assets.urls["healer.css"]}"></head>\n'
        f"<body>\n<h1>{escape(face.title)}</h1>\n<p>{escape(face.about)}</p>\n{state}<ul>\n{items}\n</ul>\n"
        f"<footer>Version {escape(__version__)}</footer>\n</body>\n</html>\n"
    )
