"""POST /beat/<svc>: who may post a beat, how large and how often, and what is answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from healer.runtime.log import Throttle
from healer.truth.sources import PUSH_PATH
from healer.web.guard import OWN_TOKENS
from healer.web.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from healer.beats.push import PushWatch
    from healer.runtime.clock import Clock

TOKENS_FILE = "HEALER_PUSH_TOKENS_FILE"

MOST_TOKENS = 20_000

MAX_BODY = 4096
"""Bytes; a beat has some fifty."""

BODY_SECONDS = 5.0
"""How long a body may take."""

BURST, PER_SECOND = 20.0, 5.0
"""Posts of one service at once, and on and on: more is a loop gone wild."""

MOST_UNDER_WAY = 512
"""Requests at the same time."""


class Bucket:
    """Lets `BURST` through at once and `PER_SECOND` on and on."""

    __slots__ = ("_at", "_level")

    def __init__(self, now: float) -> None:
        self._level, self._at = BURST, now

    def take(self, now: float) -> bool:
        """Return whether one more may pass at `now` (monotonic)."""
        self._level = min(BURST, self._level + PER_SECOND * (now - self._at))
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class PushDesk:
    """The resource.

    Attributes:
        answered: Requests by the status that was answered.
    """

    def __init__(self, env: Mapping[str, str], clock: Clock) -> None:
        """Read the tokens, if `env` names a file of them.

        Raises:
            TokenError: The file cannot be used.
        """
        path = env.get(TOKENS_FILE)
        self.answered: Counter[int] = Counter()
        self._tokens = Tokens(Path(path), MOST_TOKENS) if path else None
        self._clock = clock
        self._throttle = Throttle(clock, 60.0)
        self._buckets: dict[str, Bucket] = {}
        self._under_way = 0
        self._log = structlog.get_logger(component="push")

    def closed(self) -> str | None:
        """Return why nobody can post, or None."""
        return f"{TOKENS_FILE} is not set: nobody can post" if self._tokens is None else None

    def serve_on(self, app: web.Application, posts: Callable[[], PushWatch | None]) -> None:
        """Add the resource to `app`.

        Args:
            app: The application.
            posts: Returns what takes the beats, if anything does.
        """

        async def post(request: web.Request) -> web.Response:
            self._under_way += 1
            try:
                status, text = await self._answer(request, posts())
            finally:
                self._under_way -= 1
            self.answered[status] += 1
            headers = {401: {"WWW-Authenticate": 'Bearer realm="beat"'}, 429: {"Retry-After": "1"}}
            return web.Response(status=status, text=f"{text}\n", headers=headers.get(status))

        app[OWN_TOKENS] = PUSH_PATH
        app.router.add_post(f"{PUSH_PATH}{{svc}}", post)

    async def _answer(self, request: web.Request, posts: PushWatch | None) -> tuple[int, str]:
        svc = request.match_info["svc"]
        if (refusal := self._refusal(request, svc)) is not None:
            return refusal
        if posts is None or not posts.knows(svc):
            return 404, f'no service {svc} has "source": "push" in the truth'
        now = self._clock.monotonic()
        # Only who has a token gets here, so that this is no larger than the file of tokens.
        if not self._buckets.setdefault(svc, Bucket(now)).take(now):
            return 429, f"too often: at most {PER_SECOND:g} beats a second"
        body = await _body(request)
        if isinstance(body, str):
            return (408 if body.startswith("the body takes") else 413), body
        reason = posts.take(svc, body)
        return (200, "heard") if reason is None else (400, f"this is no beat: {reason.value}")

    def _refusal(self, request: web.Request, svc: str) -> tuple[int, str] | None:
        """Return the answer to who may not post, or not now."""
        if self._tokens is None:
            return 403, f"set {TOKENS_FILE}: without tokens nobody can post beats"
        if self._under_way > MOST_UNDER_WAY:
            return 503, "try again: too many at the same time"
        if not self._tokens.admits(svc, request.headers.get("Authorization")):
            held = self._throttle.admit("token")
            if held is not None:
                self._log.warning("beat without a valid token", remote=request.remote, held_back=held)
            return 401, "a token of this service is needed"
        return None


async def _body(request: web.Request) -> bytes | str:
    """Return the body, or what is wrong with it."""
    if (request.content_length or 0) > MAX_BODY:
        return f"a beat has at most {MAX_BODY} bytes"
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.content.read(MAX_BODY + 1)
            while len(body) <= MAX_BODY and (more := await request.content.read(MAX_BODY + 1 - len(body))):
                body += more
    except TimeoutError:
        return "the body takes too long"
    return body if len(body) <= MAX_BODY else f"a beat has at most {MAX_BODY} bytes"
