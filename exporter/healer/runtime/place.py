"""Finds the server behind a Redis URL: the one it names, a Sentinel's master of now, or a cluster's nodes of now.

    redis://HOST:6379                                      a server, as redis-py takes it; also rediss:// and unix://
    redis+sentinel://HOST:26379,HOST:26379/NAME[/DB]       the master called NAME of these Sentinels
    redis+cluster://HOST:6379,HOST:6379                    a Redis Cluster that these nodes belong to

With `rediss+` the connections are encrypted. User, password and options are those of the servers; of the Sentinels
they are `?sentinel_username=` and `?sentinel_password=`. `?sharded=true` on a cluster: beats are sharded messages.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from redis.asyncio import Redis, Sentinel
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from healer.runtime.replies import understood

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

SENTINEL_PORT, PORT = 26379, 6379

ASK_SECONDS = 2.0
"""How long one server may take to answer where another is."""

SLOTS = 16384


@dataclass(frozen=True)
class Place:
    """What a Redis URL says.

    Attributes:
        kind: The scheme without its encryption: `redis`, `unix`, `sentinel` or `cluster`.
        url: The URL itself; it may hold passwords.
    """

    kind: str
    url: str

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """A plain URL for each of the hosts that the URL names, with its options; for `redis` and `unix` itself."""
        if self.kind not in {"sentinel", "cluster"}:
            return (self.url,)
        parts = urlsplit(self.url)
        login, at, hosts = parts.netloc.rpartition("@")
        user = login + at
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _OURS]
        if self.kind == "sentinel":
            given = dict(parse_qsl(parts.query))
            name, word = (given.get(f"sentinel_{what}", "") for what in ("username", "password"))
            user = f"{quote(name, safe='')}:{quote(word, safe='')}@" if word else ""
        usual = SENTINEL_PORT if self.kind == "sentinel" else PORT
        scheme = parts.scheme.partition("+")[0]
        return tuple(
            f"{scheme}://{user}{_with_port(host, usual)}{'?' if query else ''}{urlencode(query)}"
            for host in hosts.split(",")
        )

    @cached_property
    def master(self) -> str:
        """The name of the master, for a Sentinel's URL; else empty."""
        return urlsplit(self.url).path.strip("/").partition("/")[0] if self.kind == "sentinel" else ""

    @cached_property
    def sharded(self) -> bool:
        """Whether beats are sharded messages."""
        options = dict(parse_qsl(urlsplit(self.url).query))
        return self.kind == "cluster" and options.get("sharded", "").lower() in {"1", "true", "yes"}

    def at(self, host: str, port: int) -> str:
        """Return the plain URL of a server that was found, with our login and options."""
        parts = urlsplit(self.url)
        login, at, _ = parts.netloc.rpartition("@")
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in _OURS]
        database = parts.path.strip("/").partition("/")[2] if self.kind == "sentinel" else ""
        where = f"[{host}]" if ":" in host else host
        options = f"?{urlencode(query)}" if query else ""
        return f"{parts.scheme.partition('+')[0]}://{login}{at}{where}:{port}/{database}{options}"


@dataclass(frozen=True, slots=True)
class Node:
    """A master of a cluster, or the only server.

    Attributes:
        url: Its plain URL.
        slots: Pairs of first and last slot that it serves.
    """

    url: str
    slots: tuple[tuple[int, int], ...] = ((0, SLOTS - 1),)

    def serves(self, key: str) -> bool:
        """Return whether the slot of `key` is one of its."""
        slot = key_slot(key.encode())
        return any(first <= slot <= last for first, last in self.slots)


_OURS = {"sharded", "sentinel_username", "sentinel_password"}


def place_of(url: str) -> Place:
    """Return what a URL says; nothing is checked (see `healer.truth.buses.url_fault`)."""
    scheme, _, kind = url.partition("://")[0].partition("+")
    return Place(kind or ("unix" if scheme == "unix" else "redis"), url)


async def locate(url: str) -> tuple[Node, ...]:
    """Return the masters of now, in the order of their URLs; without Sentinel and cluster, what the URL names.

    Raises:
        RedisError: Nobody who was asked knows.
        OSError: Nobody answers.
    """
    place = place_of(url)
    if place.kind == "sentinel":
        return (Node(await _first_answer(place, _ask_sentinel)),)
    if place.kind == "cluster":
        nodes: tuple[Node, ...] = await _first_answer(place, _ask_node)
        return nodes
    return (Node(url),)


async def primary(url: str, key: str) -> str:
    """Return the plain URL of the server that takes what is written to `key`; raises as `locate`."""
    return next((node.url for node in await locate(url) if node.serves(key)), url)


async def _first_answer(place: Place, ask: Callable[[Place, str], Awaitable[Any]]) -> Any:
    """Ask all at once: those that are gone must not hold up the one that is there. The first named wins."""
    answers = await asyncio.gather(*(ask(place, node) for node in place.nodes), return_exceptions=True)
    for answer in answers:
        if not isinstance(answer, BaseException):
            return answer
    errors = [answer for answer in answers if isinstance(answer, RedisError | OSError | UnicodeError)]
    if len(errors) < len(answers):
        raise next(answer for answer in answers if isinstance(answer, BaseException) and answer not in errors)
    raise errors[0]


async def _ask_sentinel(place: Place, url: str) -> str:
    with understood():
        answer = await _ask(url, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.master)
        if not answer:
            raise RedisConnectionError(f"this Sentinel knows no master called {place.master}")
        return place.at(answer[0].decode(), int(answer[1]))


async def _ask_node(place: Place, url: str) -> tuple[Node, ...]:
    asked = urlsplit(url).hostname or ""
    served: dict[str, list[tuple[int, int]]] = {}
    with understood():
        for first, last, (host, port, *_), *_ in await _ask(url, "CLUSTER", "SLOTS"):
            at = place.at(host.decode() if host else asked, int(port))
            served.setdefault(at, []).append((int(first), int(last)))
    if not served:
        raise RedisConnectionError("this node of a cluster serves no slots, and knows of none that does")
    return tuple(Node(at, tuple(sorted(slots))) for at, slots in sorted(served.items()))


async def _ask(url: str, *command: str) -> Any:
    client = Redis.from_url(
        url,
        socket_timeout=ASK_SECONDS,
        socket_connect_timeout=ASK_SECONDS,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=False,
    )
    try:
        async with asyncio.timeout(ASK_SECONDS):
            # redis-py turns the answers to commands that it knows into types of its own, by version.
            client.response_callbacks.clear()
            return await client.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py's gap
    finally:
        await client.aclose()


def _with_port(host: str, usual: int) -> str:
    bare = host.rpartition("]")[2] if host.startswith("[") else host
    return host if ":" in bare else f"{host}:{usual}"


def tagged(name: str, node: Node) -> str:
    """Return `name` with a tag behind it that puts it into a slot of `node`."""
    for number in range(10 * SLOTS):
        if node.serves(found := f"{name}:{{{number}}}"):
            return found
    return name


def by_slot(keys: Iterable[str]) -> list[list[str]]:
    """Return the keys in groups of one slot each."""
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(key_slot(key.encode()), []).append(key)
    return list(groups.values())


def client(url: str, **options: Any) -> Redis:
    """Return a client that asks the Sentinels, if the URL names some, before each connection.

    Args:
        url: A Redis URL, or that of Sentinels; a cluster's nodes are not found so.
        options: As `redis.asyncio.Redis` takes them; timeouts count for the Sentinels too.
    """
    place = place_of(url)
    if place.kind != "sentinel":
        return Redis.from_url(url, **options)
    asked = [_parsed(node, options) for node in place.nodes]
    sentinel = Sentinel(  # type: ignore[no-untyped-call] # redis-py's gap
        [(one["host"], one["port"]) for one in asked], sentinel_kwargs=_without_address(asked[0])
    )
    master: Redis = sentinel.master_for(
        place.master, _Following, **_without_address(_parsed(place.at("x", PORT), options))
    )
    return master


class _Following(Redis):
    """Closes, with its own connections, those to the Sentinels, which redis-py leaves open."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _parsed(url: str, options: dict[str, Any]) -> dict[str, Any]:
    encrypted = {"ssl": True} if url.startswith("rediss") else {}
    return {**parse_url(url), **encrypted, **options}


def _without_address(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in {"host", "port", "connection_class"}}
