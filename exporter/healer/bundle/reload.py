"""Makes running servers take up what is on disk, and finds out whether they did."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from healer.runtime.redact import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterable

RELOAD_SECONDS = 60.0
"""How long a server may take over a reload: Prometheus ends the running evaluation first."""

TELL_SECONDS = 5.0

_HINTS = {
    HTTPStatus.UNAUTHORIZED: "Put user and password into its URL.",
    HTTPStatus.FORBIDDEN: "Start it with --web.enable-lifecycle.",
    HTTPStatus.NOT_FOUND: "Is the URL that of the server, with its prefix if it has one?",
}


class RefusedError(Exception):
    """The server read the files and does not take them; it goes on with what it had."""


class UnreachedError(Exception):
    """Whether the files are good is unknown: the server did not get to them, or looks elsewhere."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that reads part of the bundle and reloads on POST to `/-/reload`.

    Attributes:
        name: What it is: `Prometheus` or `Alertmanager`.
        url: Where it is; may hold a password.
        folders: The folders of the bundle that it reads.
    """

    name: str
    url: str
    folders: tuple[str, ...]

    @classmethod
    def prometheus(cls, url: str) -> Server:
        """Return the Prometheus at `url`."""
        return cls("Prometheus", url.rstrip("/"), ("prometheus", "rules"))

    @classmethod
    def alertmanager(cls, url: str) -> Server:
        """Return the Alertmanager at `url`."""
        return cls("Alertmanager", url.rstrip("/"), ("alertmanager",))

    @property
    def address(self) -> str | None:
        """Its `host:port` as a scrape target, or None if the URL is none."""
        try:
            parts = urlsplit(self.url)
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        except (ValueError, KeyError):
            return None
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        return f"{host}:{port}" if host else None

    @property
    def shows_rules(self) -> bool:
        """Whether it says which rules it runs."""
        return "rules" in self.folders

    def __str__(self) -> str:
        """Return what it is and where, without secrets."""
        return f"{self.name} at {safe_url(self.url)}"


async def reload(session: aiohttp.ClientSession, server: Server) -> None:
    """Have the server read its files anew.

    Raises:
        RefusedError: It does not take them.
        UnreachedError: It does not answer, or does not reload on request.
    """
    status, text = await _ask(session, "POST", server, "/-/reload")
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RefusedError(f"{server} refuses the files: {text.strip()}")
    _expect_ok(server, "/-/reload", status)


async def verify(session: aiohttp.ClientSession, server: Server, sha256: str) -> None:
    """Make sure that the rules which `server` runs are of the truth `sha256`.

    A server that reads another folder reloads with success as well, so success proves nothing.

    Raises:
        UnreachedError: It does not answer, or runs rules of another truth.
    """
    # Prometheus 2 knows only `type` and answers with all alerts; what it does not know it passes over.
    path = "/api/v1/rules?type=alert&exclude_alerts=true&rule_name[]=HeartbeatTruthDrift"
    status, text = await _ask(session, "GET", server, path)
    _expect_ok(server, "/api/v1/rules", status)
    if sha256 not in text:
        raise UnreachedError(
            f"{server} has reloaded and does not run these rules. Is its --config.file the prometheus/prometheus.yml"
            " of this folder?"
        )


async def tell(session: aiohttp.ClientSession, addresses: Iterable[str]) -> list[str]:
    """Have Healer's daemons at these `host:port` take up the truth in Redis; return those that could not be told."""
    every = list(addresses)
    told = await asyncio.gather(*(_told(session, address) for address in every))
    return [address for address, done in zip(every, told, strict=True) if not done]


async def _told(session: aiohttp.ClientSession, address: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=TELL_SECONDS)
    try:
        async with session.post(f"http://{address}/-/reload", timeout=timeout) as answer:
            return answer.status == HTTPStatus.OK
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


async def _ask(session: aiohttp.ClientSession, method: str, server: Server, path: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=RELOAD_SECONDS)
    try:
        async with session.request(method, server.url + path, timeout=timeout) as answer:
            return answer.status, await answer.text(errors="replace")
    except TimeoutError:
        raise UnreachedError(f"{server} does not answer within {RELOAD_SECONDS:g} s.") from None
    except (aiohttp.ClientError, ValueError) as error:
        # asyncio puts its own words into strerror.
        errno = error.errno if isinstance(error, aiohttp.ClientOSError) else None
        why = os.strerror(errno) if errno and errno > 0 else type(error).__name__
        raise UnreachedError(f"{server} cannot be reached ({why}). Is it running?") from None


def _expect_ok(server: Server, path: str, status: int) -> None:
    if status != HTTPStatus.OK:
        hint = _HINTS.get(HTTPStatus(status), "") if status in set(HTTPStatus) else ""
        raise UnreachedError(f"{server} answers {path} with {status}. {hint}".rstrip())
