"""Keeps everyone out who has no token, and requests that another site had a browser send."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from healer.web.tokens import Tokens

NOBODY = "anonymous"
"""Who everyone is while there are no tokens; nothing runs then, and nothing can be changed."""

CHALLENGE = 'Basic realm="autoheal", charset="UTF-8"'
"""What makes a browser ask: the name, and the token as password."""


class Access:
    """Who may do what."""

    def __init__(self, tokens: Tokens | None) -> None:
        """Make the rules.

        Args:
            tokens: Who may come in; None: everyone may look.
        """
        self._tokens = tokens
        self._secret = os.urandom(32)

    def protect(self, app: web.Application) -> None:
        """Put the rules before every route of `app`, also before those that do not exist."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            principal = NOBODY
            if self._tokens is not None:
                found = self._tokens.principal(request.headers.get("Authorization"))
                if found is None:
                    headers = {"WWW-Authenticate": CHALLENGE}
                    return web.Response(status=401, text="a token is needed\n", headers=headers)
                principal = found
            if request.method not in {"GET", "HEAD"} and _from_elsewhere(request):
                return web.Response(status=403, text="this request came from another site\n")
            request["principal"] = principal
            return await handler(request)

        app.middlewares.insert(0, check)

    def csrf(self, request: web.Request) -> str:
        """Return what a form of this principal has to bring along."""
        return hmac.new(self._secret, request["principal"].encode(), hashlib.sha256).hexdigest()

    def may_change(self, request: web.Request, csrf: str | None) -> web.Response | None:
        """Return the refusal of a change, or None.

        A browser sends Basic credentials along whoever asked it to; a bearer token is only sent by who has it.
        """
        if self._tokens is None:
            text = "set AUTOHEAL_TOKEN_FILE: without tokens nothing can be changed\n"
            return web.Response(status=403, text=text)
        bearer = request.headers.get("Authorization", "").lower().startswith("bearer ")
        if not bearer and not hmac.compare_digest((csrf or "").encode(), self.csrf(request).encode()):
            return web.Response(status=403, text="the form is out of date: load the page again\n")
        return None


def principal_of(request: web.Request) -> str:
    """Return who sent `request`."""
    name: str = request["principal"]
    return name


def _from_elsewhere(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        # A page without a referrer sends `Origin: null` even to its own site; this header tells the truth.
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host
