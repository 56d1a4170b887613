"""Finds the Redis URL of every bus, and refuses URLs that could never connect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import redis

from healer.runtime.place import Place, place_of
from healer.truth.blocks import LONGEST_TEXT, Given, alike, text_fault
from healer.truth.document import Members
from healer.truth.model import Bus
from healer.truth.problems import path_text, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from healer.truth.blocks import Block
    from healer.truth.problems import Problems

EXPECTED_URL = "a URL such as redis://host:6379"
HOST = re.compile(r"[\w.:-]+")
DATABASE = re.compile(r"/?\d{0,9}")
RAW_PASSWORD = re.compile(r"\w+://[^@]*[/#?@][^@]*@|\w+://[^@]*@.*@", re.DOTALL)
DEFAULT_PORT = 6379
BAD_ADDRESS = "The port is a number from 1 to 65535, an IPv6 address stands in brackets."
FOUND = ("sentinel", "cluster")
"""Kinds of URLs that say who knows where the servers are."""
SENTINEL_PATH = re.compile(r"/[\w.-]+(/\d{0,9})?")
MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody's need of a bus: its name, and the URL that the same block gives for it, if any."""

    bus: Given[str]
    url: Given[str] | None


def resolve(root: Block, uses: Sequence[Use], problems: Problems) -> tuple[tuple[Bus, ...], tuple[Bus, ...]]:
    """Return the buses that are used, and those plus the ones that the document only declares.

    Both are sorted by name. A bus whose URL is wrong is noted and left out.
    """
    declared = root.block("buses")
    by_name: dict[str, list[Use]] = {}
    for use in uses:
        by_name.setdefault(use.bus.value, []).append(use)
    used = [bus for name, its in sorted(by_name.items()) if (bus := _used(name, its, declared, problems))]
    idle = [
        bus for name in declared.members if name not in by_name and (bus := _idle(name, declared, problems))
    ]
    return tuple(used), tuple(sorted([*used, *idle], key=lambda bus: bus.name))


def redis_url(block: Block, key: str) -> Given[str] | None:
    """Return the Redis URL at `key` of a block; None if it is absent or, noted, wrong."""
    url = block.text(key, EXPECTED_URL, LONGEST_TEXT)
    if url is None:
        return None
    fault = url_fault(url.value)
    if fault is not None:
        block.wrong(key, EXPECTED_URL, fault)
        return None
    return url


def url_fault(url: str) -> str | None:
    """Return what to do about a URL that redis-py could not use, else None. Never quotes the URL."""
    place = place_of(url)
    if place.kind in FOUND:
        return _found_fault(place)
    return _plain_fault(url)


def _plain_fault(url: str) -> str | None:
    if RAW_PASSWORD.match(url):
        return "In a password, write @ as %40, # as %23, / as %2F and ? as %3F."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return BAD_ADDRESS
    if parts.scheme not in {"redis", "rediss", "unix"}:
        return "It starts with redis://, rediss:// (TLS), unix://, redis+sentinel:// or redis+cluster://."
    if parts.fragment:
        return "Nothing may follow a #."
    if parts.scheme == "unix":
        fault = None if parts.path else "A socket's path follows: unix:///run/redis/redis.sock."
    else:
        fault = _server_fault(parts, port)
    # A client's options stand after the ?; making a client only to find none takes milliseconds.
    return fault or (_client_fault(url) if parts.query else None)


def _found_fault(place: Place) -> str | None:
    """Return what to do about the URL of Sentinels or a cluster."""
    try:
        parts, servers = urlsplit(place.url), (*place.nodes, place.at("host", DEFAULT_PORT))
    except ValueError:
        return BAD_ADDRESS
    if parts.scheme not in {f"{scheme}+{place.kind}" for scheme in ("redis", "rediss")}:
        return "It starts with redis+ or rediss+ (TLS)."
    if place.kind == "sentinel" and not SENTINEL_PATH.fullmatch(parts.path):
        return "After the Sentinels follows the master's name: redis+sentinel://host:26379/mymaster."
    if place.kind == "cluster" and parts.path.strip("/"):
        return "Nothing may follow a cluster's nodes: it has no databases."
    return next((fault for server in servers if (fault := _plain_fault(server)) is not None), None)


def _server_fault(parts: SplitResult, port: int | None) -> str | None:
    host = parts.hostname or ""
    try:
        host.encode("idna")
    except UnicodeError:
        host = ""
    if not HOST.fullmatch(host):
        return "A host name or address follows the //."
    if port == 0:
        return "The port is a number from 1 to 65535."
    if not DATABASE.fullmatch(parts.path):
        return "Only a database number may follow the host: redis://host:6379/0."
    return None


def _client_fault(url: str) -> str | None:
    try:
        # Opens no socket; it only takes the URL apart as the real client will.
        redis.ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError, redis.RedisError):
        return "What follows the ? is no option of the Redis client."
    return None


def _used(name: str, uses: Sequence[Use], declared: Block, problems: Problems) -> Bus | None:
    given = [use.url for use in uses if use.url is not None]
    if name in declared:
        entry = declared.block(name, 'Such as {"url": "redis://host:6379"}.')
        url = redis_url(entry, "url")
        if url is not None:
            _note_differing(name, url, given, problems)
            return Bus(name, url.value, url.origin)
        if not given and entry.sound and "url" not in entry and isinstance(declared.members[name], Members):
            entry.wrong("url", EXPECTED_URL, found="nothing")
            return None
    elif declared.members and not given:
        meant = alike(name, declared.members) if problems.may_suggest(declared.members) else None
        known = _listed(declared.members)
        hint = f"Did you mean {meant}?" if meant else f"Or add buses[{quoted(name)}] with its url."
        for use in uses:
            problems.error(use.bus.path, shown(name), f"one of the buses in `buses`: {known}", hint)
        return None
    if given:
        for other in given[1:]:
            if _server(other.value) != _server(given[0].value):
                expected = (
                    f"the same as {given[0].origin}, {quoted(given[0].value)}: both are on the bus {name}"
                )
                hint = f"Say once which is right: buses.{name}.url."
                problems.error(other.path, shown(other.value), expected, hint)
        return Bus(name, given[0].value, given[0].origin)
    return _by_name(name, uses, problems)


def _listed(names: Collection[str]) -> str:
    more = len(names) - MOST_LISTED
    return ", ".join(islice(names, MOST_LISTED)) + (f" and {more} more" if more > 0 else "")


def _by_name(name: str, uses: Sequence[Use], problems: Problems) -> Bus | None:
    url = f"redis://{name}:{DEFAULT_PORT}"
    if url_fault(url) is None and urlsplit(url).hostname == name.lower():
        return Bus(name, url)
    for use in uses:
        hint = f"Or add buses[{quoted(name)}] with its url."
        problems.error(use.bus.path, shown(name), "a bus name that is a host name", hint)
    return None


def _idle(name: str, declared: Block, problems: Problems) -> Bus | None:
    value = declared.members[name]
    url = value.get("url") if isinstance(value, Members) else value
    if (
        isinstance(url, str)
        and text_fault(url, LONGEST_TEXT) is None
        and text_fault(name) is None
        and not url_fault(url)
    ):
        return Bus(name, url, path_text(declared.at(name, "url")))
    problems.warn(
        declared.at(name),
        shown(url),
        EXPECTED_URL,
        "Nothing beats on this bus, so it is left out; it is not seeded.",
    )
    return None


def _note_differing(name: str, url: Given[str], others: Sequence[Given[str]], problems: Problems) -> None:
    for other in others:
        if _server(other.value)[-2:] != _server(url.value)[-2:]:
            hint = f"{url.origin} counts. If the service beats elsewhere, it will be missing."
            problems.warn(other.path, shown(other.value), f"{quoted(url.value)} as in buses.{name}", hint)


def _server(url: str) -> tuple[str, str | None, str | None, str | None, int | str]:
    """Return what makes two URLs the same server; the database does not: channels span all of them."""
    parts = urlsplit(url)
    if place_of(url).kind in FOUND:
        return parts.scheme, parts.username, parts.password, parts.netloc.rpartition("@")[2], parts.path
    where = parts.path if parts.scheme == "unix" else parts.port or DEFAULT_PORT
    return parts.scheme, parts.username, parts.password, parts.hostname, where
