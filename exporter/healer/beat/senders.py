"""The ways a beat can go, chosen by URL: published or set in Redis, a file that is touched, a request that is posted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from healer.runtime import secrets
from healer.runtime.place import place_of, primary

TOKEN_FILE = "HEALER_PUSH_TOKEN_FILE"  # noqa: S105  # the name of a variable


class SendError(Exception):
    """The beat could not be sent; the message says why."""


class Sender(Protocol):
    """One way that beats can go."""

    def send(self, beat: bytes) -> int | None:
        """Send a beat, whatever it takes to say why not raised; return how many heard it, if that is known."""

    def close(self) -> None:
        """Let go of what is open."""


def sender(
    svc: str, url: str, channel: str, attempt: float, *, expiry: float | None = None, token: str | None = None
) -> Sender:
    """Return what sends the beats of `svc`.

    Args:
        svc: The service.
        url: Of a Redis; `http(s)://` of an exporter; or `file:///path`.
        channel: The channel or key in Redis.
        attempt: Seconds that one beat may take.
        expiry: Seconds after which a key expires; None: the beat is published, not set.
        token: For an exporter; by default from the file that HEALER_PUSH_TOKEN_FILE names.
    """
    scheme = str(url).partition(":")[0]
    if scheme in {"http", "https"}:
        return _Push(f"{url.rstrip('/')}/beat/{quote(svc, safe='')}", attempt, token)
    if scheme == "file":
        return _File(Path(unquote(urlsplit(url).path)))
    return _Redis(url, channel, attempt, expiry)


class _Redis:
    """Publishes, or sets a key that expires; finds the server anew after each failure."""

    def __init__(self, url: str, channel: str, attempt: float, expiry: float | None) -> None:
        self._url, self._channel, self._attempt, self._expiry = url, channel, attempt, expiry
        self._client: redis.Redis | None = None

    def send(self, beat: bytes) -> int | None:
        client = self._client = self._client or self._connect()
        try:
            if self._expiry is not None:
                client.set(self._channel, beat, px=max(1, round(1000 * self._expiry)))
                return None
            command = "SPUBLISH" if place_of(self._url).sharded else "PUBLISH"
            return int(client.execute_command(command, self._channel, beat))  # type: ignore[no-untyped-call] # redis-py's gap
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def _connect(self) -> redis.Redis:
        url = self._url
        if place_of(url).kind in {"sentinel", "cluster"}:
            url = asyncio.run(primary(url, self._channel))
        return redis.Redis.from_url(
            url,
            socket_timeout=self._attempt,
            socket_connect_timeout=self._attempt,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )


class _File:
    """Touches a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, beat: bytes) -> int | None:  # that it changed is what counts
        self._path.touch()
        os.utime(self._path)
        return None

    def close(self) -> None:
        pass


class _Push:
    """Posts to an exporter; goes through no proxy and follows no redirection, for the token goes along."""

    def __init__(self, url: str, attempt: float, token: str | None) -> None:
        self._url, self._attempt, self._token = url, attempt, token

    def send(self, beat: bytes) -> int | None:
        request = Request(self._url, data=beat, method="POST")  # noqa: S310  # the scheme was looked at
        request.add_header("Authorization", f"Bearer {self._token or _token()}")
        request.add_header("Content-Type", "application/json")
        try:
            with _open(request, timeout=self._attempt) as answer:
                answer.read(1000)
        except HTTPError as error:
            with error:
                text = error.read(300).decode(errors="replace").strip()
            raise SendError(f"{error.code}: {text or error.reason}") from None
        return None

    def close(self) -> None:
        pass


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_open = build_opener(ProxyHandler({}), _Stay).open


def _token() -> str:
    path = os.environ.get(TOKEN_FILE)
    if not path:
        raise SendError(f"{TOKEN_FILE} names no file with the token of this service")
    try:
        return secrets.read(Path(path))
    except secrets.SecretError as error:
        raise SendError(str(error)) from None
