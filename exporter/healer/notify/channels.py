"""Sends a message: by a webhook, or by mail. Secrets are read for each try, so that they can be exchanged.

What went wrong is told without the URL, which is a secret, and without what a server says, which may repeat one.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import aiohttp
import aiosmtplib

from healer.runtime import secrets

if TYPE_CHECKING:
    from healer.notify.message import Message
    from healer.notify.people import Hook, People

IMPLICIT_TLS_PORT = 465
MAIL_SECONDS = 20.0
"""How long one mail may take, from connecting to the relay's last word."""


class SendError(Exception):
    """It did not arrive; the text holds no secret.

    Attributes:
        wait: Seconds that the other side asks for, 0 if it does not.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Channel(Protocol):
    """A way to people."""

    @property
    def name(self) -> str:
        """What it is called in metrics and logs."""

    async def send(self, message: Message) -> None:
        """Send `message`.

        Raises:
            SendError: It did not arrive, as far as is known.
        """


def channels(people: People) -> list[Channel]:
    """Return the ways to `people`."""
    found: list[Channel] = [HookChannel(hook, people.webhook_timeout) for hook in people.hooks]
    return [*found, MailChannel(people)] if people.smtp_host else found


async def call(method: str, file: Path, seconds: float, body: bytes | None = None) -> None:
    """Call the URL in `file`; done when it answers 2xx.

    Raises:
        SendError: It does not, or the file cannot be used.
    """
    try:
        url = secrets.read(file)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as http,
            http.request(
                method,
                url,
                data=body,
                headers={"User-Agent": "healer", **({"Content-Type": "application/json"} if body else {})},
                allow_redirects=False,
            ) as answer,
        ):
            if not answer.ok or answer.status >= 300:  # noqa: PLR2004  a redirect is no delivery
                raise SendError(
                    f"HTTP status {answer.status}", _seconds(answer.headers.get("Retry-After", ""))
                )
    except secrets.SecretError as error:
        raise SendError(str(error)) from None
    except TimeoutError:
        raise SendError(f"no answer within {seconds:g} s") from None
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise SendError(_kind(error)) from None


class HookChannel:
    """A webhook."""

    def __init__(self, hook: Hook, timeout: float) -> None:
        self._hook = hook
        self._timeout = timeout

    @property
    def name(self) -> str:
        """Its kind."""
        return str(self._hook.kind)

    async def send(self, message: Message) -> None:
        """Post `message`; raises as `Channel.send`."""
        await call("POST", Path(self._hook.file), self._timeout, message.payload(self._hook.kind))


class MailChannel:
    """Mail by a relay: over TLS, always."""

    name = "mail"

    def __init__(self, people: People) -> None:
        self._people = people

    async def send(self, message: Message) -> None:
        """Mail `message`; raises as `Channel.send`."""
        people = self._people
        try:
            password = secrets.read(Path(people.smtp_pass_file)) if people.smtp_user else None
            implicit = people.smtp_port == IMPLICIT_TLS_PORT
            await aiosmtplib.send(
                _mail(message, people),
                hostname=people.smtp_host,
                port=people.smtp_port,
                username=people.smtp_user or None,
                password=password,
                use_tls=implicit,
                start_tls=not implicit,
                tls_context=ssl.create_default_context(cafile=people.smtp_ca_file or None),
                timeout=MAIL_SECONDS,
            )
        except secrets.SecretError as error:
            raise SendError(str(error)) from None
        except aiosmtplib.SMTPResponseException as error:
            raise SendError(f"the relay answers {error.code}") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise SendError(_kind(error)) from None


def _mail(message: Message, people: People) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = message.title
    mail["From"] = people.smtp_from
    mail["To"] = ", ".join(people.smtp_to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
    mail["Message-ID"] = make_msgid(domain="healer.invalid")
    mail.set_content(message.text())
    mail.add_alternative(message.html(), subtype="html")
    return mail


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _kind(error: BaseException) -> str:
    """Return what went wrong without the words of the error, which may hold the URL."""
    cause = error.__cause__ or error
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else ""
    return f"{type(error).__name__}: {reason}" if reason and "/" not in reason else type(error).__name__
