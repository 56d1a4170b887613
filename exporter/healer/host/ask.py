"""Requests to another server, with a limit on time and size, and errors in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp

from healer.runtime.redact import safe_url

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 10.0
"""That one request may take."""

MOST_BYTES = 8 << 20
"""Of an answer."""

_OK = 200


class AskError(Exception):
    """A server did not do what it was asked for; the message names it and says why."""


class Server:
    """One HTTP server that speaks JSON."""

    def __init__(self, name: str, url: str, token: str = "", seconds: float = SECONDS) -> None:
        """Name a server.

        Args:
            name: For people.
            url: Where it is.
            token: For its `Authorization: Bearer`; empty: it takes none.
            seconds: That one request may take.
        """
        self._name, self._url = name, url.rstrip("/")
        self._seconds = seconds
        self._headers = {"Accept": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> Any:
        """Return the JSON that it answers with, None if that is empty.

        Raises:
            AskError: It is out, refuses, or answers with what is no JSON.
        """
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds)) as session,
                session.request(
                    method,
                    self._url + path,
                    params=query,
                    data=None if body is None else json.dumps(body),
                    headers=self._headers | ({} if body is None else {"Content-Type": "application/json"}),
                    allow_redirects=False,
                ) as answer,
            ):
                data = await answer.content.read(MOST_BYTES)
                while len(data) < MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    data += more
                status = answer.status
        except TimeoutError:
            raise self.error(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.error(_said(error)) from None
        if status != _OK:
            text = "".join(
                char if char.isprintable() else " " for char in data[:200].decode(errors="replace")
            )
            raise self.error(f"HTTP status {status}: {text.strip()}")
        try:
            return json.loads(data) if data.strip() else None
        except ValueError:
            raise self.error("it answers with what is no JSON") from None

    def error(self, why: str) -> AskError:
        """Return an error that names the server."""
        return AskError(f"{self._name} at {safe_url(self._url)}: {why}")


def _said(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    return (getattr(cause, "strerror", None) or str(error) or type(error).__name__).lower()
