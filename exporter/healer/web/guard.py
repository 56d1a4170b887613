"""Keeps a web configuration in force over an application: users, headers, and files that change while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from healer.web.auth import BusyError, Doorkeeper
from healer.web.blocks import WebConfigError
from healer.web.config import WebConfig, load

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiohttp.typedefs import Handler

Trace = tuple[int, int, int] | None

OWN_TOKENS = web.AppKey("own_tokens", str)
"""What the paths of an application begin with that ask for tokens of their own: a request has one Authorization."""

LOOK_SECONDS = 1.0
"""Time between two looks at the files."""


class Guard:
    """The configuration in force.

    Attributes:
        config: What was last loaded; a file that cannot be used never replaces it.
    """

    def __init__(self, path: Path | None) -> None:
        """Load `path`; None for plain HTTP, open to all.

        Raises:
            WebConfigError: It cannot be used.
        """
        self._path = path
        self._log = structlog.get_logger(component="web")
        self.config, self._seen = (WebConfig(), []) if path is None else _load(path)
        self._doorkeeper = Doorkeeper(self.config.users)
        self._refused = ""
        self._warn()

    def protect(self, app: web.Application) -> None:
        """Let only those into `app` whom the configuration admits; before it is served."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._refusal(request) or await handler(request)

        async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(self.config.headers)

        app.middlewares.insert(0, check)
        app.on_response_prepare.append(add_headers)

    async def watch(self, on_tls: Callable[[ssl.SSLContext | None], Awaitable[None]]) -> None:
        """Take up changed files until cancelled.

        Args:
            on_tls: Given the context that new connections are to use, None for plain HTTP.
        """
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            traces = await asyncio.to_thread(_traces, self.config.files)
            # A refused file may name others that are not watched yet: it is tried until it can be used.
            if traces == self._seen and not self._refused:
                continue
            try:
                config, self._seen = await asyncio.to_thread(_load, self._path)
                await on_tls(config.context)
            except (WebConfigError, OSError) as error:
                self._seen = traces
                self._refuse(error)
                continue
            self._refused = ""
            if config.users != self.config.users:
                self._doorkeeper = Doorkeeper(config.users)
            self.config = config
            self._log.info("web configuration adopted", file=str(self._path), tls=config.tls is not None)
            self._warn()

    def _refuse(self, error: WebConfigError | OSError) -> None:
        if str(error) == self._refused:
            return
        self._refused = str(error)
        for problem in self._refused.splitlines():
            self._log.error("web configuration problem", problem=problem)
        self._log.error("web configuration refused, the last one stays", file=str(self._path))

    def _warn(self) -> None:
        for warning in self.config.warnings:
            self._log.warning("web configuration is doubtful", reason=warning)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        settings = self.config.tls
        if settings is not None and settings.sans and not _has_name(request, settings.sans):
            return web.Response(status=403, text="this client's certificate is not admitted\n")
        own = request.app.get(OWN_TOKENS)
        if not self.config.users or (own is not None and request.path.startswith(own)):
            return None
        try:
            admitted = await self._doorkeeper.admits(request.headers.get("Authorization"))
        except BusyError:
            return web.Response(status=503, text="too many logins at once\n", headers={"Retry-After": "1"})
        if admitted:
            return None
        headers = {"WWW-Authenticate": 'Basic realm="healer", charset="UTF-8"'}
        return web.Response(status=401, text="user and password are needed\n", headers=headers)


def _has_name(request: web.Request, names: tuple[str, ...]) -> bool:
    certificate = request.get_extra_info("peercert") or {}
    return any(value in names for _, value in certificate.get("subjectAltName", ()))


def _load(path: Path) -> tuple[WebConfig, list[Trace]]:
    """Return what is in the files, and traces of them that are no newer."""
    traces = _traces(load(path).files)
    return load(path), traces


def _traces(files: tuple[Path, ...]) -> list[Trace]:
    """Return for each file what changes when it does; None for one that is not there."""
    traces: list[Trace] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            traces.append(None)
        else:
            traces.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return traces
