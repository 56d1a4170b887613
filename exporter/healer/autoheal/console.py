"""/console: what happens, live, in a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from aiohttp import web

from healer.autoheal.events import Kind
from healer.web.assets import Assets

if TYPE_CHECKING:
    from healer.autoheal.access import Access

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="csrf" content="{csrf}">
<title>Autoheal</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
</head>
<body>
<header><h1>Autoheal</h1><p id="link" role="status">connecting</p></header>
<main>
<section aria-label="State"><ul id="state"></ul><button id="reset" hidden>Reset the breaker</button></section>
<section aria-label="Targets"><h2>Targets</h2><div class="scroll"><table><thead><tr><th>target</th><th>action</th>
<th>cooldown</th><th>backoff</th><th>attempts</th><th>state</th></tr></thead><tbody id="targets"></tbody></table></div></section>
<section aria-label="Events"><h2>Events</h2>
<form id="filter"><label>kind <input name="kind" list="kinds" autocomplete="off"></label>
<label>alertname <input name="alertname" autocomplete="off"></label><datalist id="kinds">{kinds}</datalist>
<button>Filter</button></form>
<ol id="events"></ol></section>
</main>
<script src="{script}"></script>
</body>
</html>
"""


class Console:
    """The page and its files.

    Attributes:
        style: Where the stylesheet is, relative to `/`.
        icon: Where the icon is.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._assets = Assets("healer.autoheal")
        self.style = self._assets.urls["console.css"]
        self.icon = Assets("healer.web").urls["icon.svg"]

    def serve_on(self, app: web.Application) -> None:
        """Add the page to `app`."""
        self._assets.serve_on(app)
        app.router.add_get("/console", self._show)

    async def _show(self, request: web.Request) -> web.Response:
        text = _PAGE.format(
            csrf=escape(self._access.csrf(request)),
            style=escape(self.style),
            icon=escape(self.icon),
            script=escape(self._assets.urls["console.js"]),
            kinds="".join(f'<option value="{escape(kind)}">' for kind in Kind),
        )
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": CSP})
