"""Why a bus cannot be heard: one word of a fixed list for whatever may be raised on the way."""

from __future__ import annotations

import socket
from enum import StrEnum

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    InvalidResponse,
    MaxConnectionsError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Reason(StrEnum):
    """Why; the `reason` label of `heartbeat_bus_failures_total`."""

    AUTH = "auth"
    CLOSED = "closed"
    DEAF = "deaf"
    DENIED = "denied"
    DNS = "dns"
    FULL = "full"
    LOADING = "loading"
    MOVED = "moved"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"
    TLS = "tls"
    UNREACHABLE = "unreachable"
    OTHER = "other"


class DeafError(Exception):
    """The proof of hearing did not come in time.

    Attributes:
        cause: What kept the own beat from being published, or None if it was.
    """

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class MovedError(Exception):
    """The server is no longer the one to listen to."""


class Faults:
    """How often a bus could not be heard, by reason."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Reason, 0)

    def note(self, error: BaseException) -> Reason:
        """Count what was raised; return why."""
        reason = reason_of(error)
        self.counts[reason] += 1
        return reason


def reason_of(error: BaseException) -> Reason:
    """Return the reason that stands for an error."""
    if isinstance(error, DeafError):
        return Reason.DEAF if error.cause is None else reason_of(error.cause)
    for kinds, reason in _KINDS:
        if isinstance(error, kinds):
            return reason
    return _by_words(str(error).lower(), error)


_KINDS: tuple[tuple[tuple[type[BaseException], ...], Reason], ...] = (
    ((MovedError, AskError, ClusterDownError), Reason.MOVED),
    ((NoPermissionError, AuthorizationError), Reason.DENIED),
    ((AuthenticationError,), Reason.AUTH),
    ((BusyLoadingError,), Reason.LOADING),
    ((MaxConnectionsError,), Reason.FULL),
    ((InvalidResponse,), Reason.PROTOCOL),
    ((RedisTimeoutError, TimeoutError), Reason.TIMEOUT),
    ((socket.gaierror, UnicodeError), Reason.DNS),
    ((ConnectionResetError, BrokenPipeError), Reason.CLOSED),
)

_WORDS = (
    ("max number of clients", Reason.FULL),
    ("noperm", Reason.DENIED),
    ("no permissions", Reason.DENIED),
    ("noauth", Reason.AUTH),
    ("wrongpass", Reason.AUTH),
    ("invalid username-password", Reason.AUTH),
    ("authentication", Reason.AUTH),
    ("loading", Reason.LOADING),
    ("moved", Reason.MOVED),
    ("ask ", Reason.MOVED),
    ("clusterdown", Reason.MOVED),
    ("readonly", Reason.MOVED),
    ("ssl", Reason.TLS),
    ("certificate", Reason.TLS),
    ("name or service not known", Reason.DNS),
    ("name resolution", Reason.DNS),
    ("no address associated", Reason.DNS),
    ("nodename nor servname", Reason.DNS),
    ("timeout", Reason.TIMEOUT),
    ("timed out", Reason.TIMEOUT),
    ("connection closed", Reason.CLOSED),
    ("connection lost", Reason.CLOSED),
    ("broken pipe", Reason.CLOSED),
    ("reset by peer", Reason.CLOSED),
    ("closed", Reason.CLOSED),
)


def _by_words(text: str, error: BaseException) -> Reason:
    """Tell by the message: redis-py and servers put what happened into few types and many words."""
    for words, reason in _WORDS:
        if words in text:
            return reason
    if isinstance(error, ResponseError):
        return Reason.OTHER
    if isinstance(error, OSError | RedisConnectionError | RedisError):
        return Reason.UNREACHABLE
    return Reason.OTHER
