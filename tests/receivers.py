"""What people's messages are sent to in tests: HTTP endpoints that misbehave on demand, and a real mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trustme
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import EmailMessage
    from pathlib import Path


class Endpoint:
    """A webhook's other side.

    Attributes:
        mood: What it does with a request: answers with this status, `hang`s, or `close`s the connection; `refuse`
            is what `shut` does.
        heard: The JSON of each request that was answered with a 2xx, in order.
        tries: How many requests came.
    """

    def __init__(self, port: int, ok: int = 200) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.ok = ok
        self.mood: int | str = ok
        self.heard: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.tries = 0
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def shut(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.tries += 1
        text = await request.text()
        mood = self.mood
        if mood == "hang":
            await asyncio.sleep(3600)
        if mood == "close":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        assert isinstance(mood, int)
        if mood < 300:
            self.paths.append(request.path)
            self.headers.append(dict(request.headers))
            self.heard.append(json.loads(text) if text else None)
        return web.Response(status=mood, text="ok" if mood < 300 else "not now", headers={"Retry-After": "1"})


@dataclass
class Mail:
    """A mail server that takes messages over STARTTLS from who logs in, and from nobody else."""

    port: int
    password: str
    ca_file: Path
    messages: list[EmailMessage] = field(default_factory=list)
    sessions: list[tuple[bool, bool]] = field(default_factory=list)
    mood: str = "ok"
    errors: list[Exception] = field(default_factory=list)
    _context: Any = None
    _server: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, "127.0.0.1", self.port, reuse_address=True)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _session(self) -> SMTP:
        return SMTP(
            self,
            hostname="127.0.0.1",
            tls_context=self._context,
            require_starttls=True,
            auth_required=True,
            auth_require_tls=True,
            authenticator=self._authenticate,
            auth_exclude_mechanism=["LOGIN"],  # aiosmtpd asks for a "User Name", which only it does
            timeout=30,
        )

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any
    ) -> AuthResult:
        good = isinstance(given, LoginPassword) and given == LoginPassword(b"healer", self.password.encode())
        return AuthResult(success=good, handled=good)

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> Any:
        if self.mood == "hang":
            await asyncio.sleep(3600)
        session.host_name = hostname
        return responses

    async def handle_exception(self, error: Exception) -> str:
        self.errors.append(error)
        return "500 error"

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.mood == "close":
            server.transport.close()
        if self.mood == "busy":
            return "451 not now"
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.messages.append(message)  # type: ignore[arg-type]
        self.sessions.append((session.ssl is not None, bool(session.authenticated)))
        return "250 taken"


@asynccontextmanager
async def mail_server(port: int, folder: Path, password: str = "hush-mail-password") -> AsyncIterator[Mail]:
    """A mail server; its CA's certificate is in `folder`."""
    import ssl

    authority = trustme.CA()
    ca_file = folder / "mail-ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    mail = Mail(port, password, ca_file)
    mail._context = context
    await mail.open()
    try:
        yield mail
    finally:
        await mail.shut()


@asynccontextmanager
async def endpoint(port: int, ok: int = 200) -> AsyncIterator[Endpoint]:
    """An endpoint that answers `ok`."""
    made = Endpoint(port, ok)
    await made.open()
    try:
        yield made
    finally:
        await made.shut()


def secret(path: Path, text: str) -> Path:
    """Write a secret as it has to be; no line's end, which Alertmanager 0.25 takes for a part of a password."""
    path.write_text(text)
    path.chmod(0o600)
    return path
