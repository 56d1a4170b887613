"""Finds which channel on which bus is whose heartbeat, from what Healer subscribes to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from healer.truth.blocks import LONGEST_TEXT, Block, Given, alike, first, text_fault
from healer.truth.document import Members
from healer.truth.problems import path_text, quoted, shown
from healer.truth.sources import beyond_redis, read_place

if TYPE_CHECKING:
    from collections.abc import Collection

    from healer.truth.problems import Problems

HEALER = "healer"
DEFAULT_BUS = "system-redis"
SUFFIX = ":heartbeat"
WILDCARDS = re.compile(r"[*?\[\]]")
EXAMPLE = '{"bus": "system-redis", "key": "rss_agg:heartbeat"}'
NODE_FILE = "This looks like a node file: take the built truth, the document that is seeded."


@dataclass(frozen=True, slots=True)
class Watch:
    """One heartbeat to watch: whose, on which bus and channel, and that service's own block."""

    name: str
    bus: Given[str]
    channel: Given[str]
    block: Block


def find_services(root: Block, problems: Problems) -> Block:
    """Return the block of services: `services`, or `components` in documents of the newer generation."""
    present = [key for key in ("services", "components") if key in root]
    with_healer = [key for key in present if HEALER in _members(root.members[key])]
    if len(with_healer) > 1:
        root.wrong("components", "Healer's block in one of services and components", found="healer in both")
    if not present:
        problems.error((), "no services", "an object with `services` (or `components`)")
        nothing = root.block("services")
        nothing.sound = False
        return nothing
    key = (with_healer or present)[0]
    return root.block(key, NODE_FILE if isinstance(root.members[key], list) else "")


def read_bus(entry: Block) -> Given[str]:
    """Return the bus of one `{"bus", "key"}` entry."""
    return first(entry.text("bus", "the name of a bus"), default=DEFAULT_BUS)


def read_channel(entry: Block, key: str = "key") -> Given[str] | None:
    """Return a channel that can be subscribed to exactly; None if it is absent or, noted, wrong."""
    channel = entry.text(key, "a channel such as rss_agg:heartbeat", LONGEST_TEXT)
    if channel is not None and WILDCARDS.search(channel.value):
        entry.wrong(key, "one exact channel", "Healer subscribes without patterns: list each channel.")
        return None
    return channel


def read_entries(access: Block, key: str) -> list[Block]:
    """Return the entries of `subscribe_to` or `publish_to`, with misspelt keys noted."""
    entries = access.blocks(key, f"a list like [{EXAMPLE}]")
    for entry in entries:
        for written, meant in entry.misspelt(("bus", "key")):
            entry.wrong(written, "`bus` and `key`", f"Did you mean {meant}?", found="an unknown key")
    return entries


def read_watches(healer: Block, services: Block, own: Collection[str], problems: Problems) -> list[Watch]:
    """Return what Healer watches, each service once, sorted by name.

    That is what it subscribes to, and what beats by a source that needs no Redis.

    Args:
        healer: Healer's own block.
        services: All services.
        own: Channels that are Healer's own.
        problems: Takes what is wrong.
    """
    access = healer.block("access_points")
    entries = read_entries(access, "subscribe_to")
    beyond = _beyond_redis(services, problems)
    if not entries and not beyond and access.sound and healer.sound:
        found = "an empty list" if "subscribe_to" in access else "nothing"
        hint = "Add one entry for each service that beats."
        problems.error(access.at("subscribe_to"), found, f"a list like [{EXAMPLE}]", hint)
    claims = _claims(services)
    by_channel: dict[tuple[str, str], Watch] = {}
    by_name: dict[str, Watch] = {}
    for one in beyond:
        holder = by_channel.setdefault((one.bus.value, one.channel.value), one)
        if holder is not one:
            expected = f"a file of its own; it is that of {holder.name} too"
            problems.error(one.channel.path, shown(one.channel.value), expected)
        by_name[one.name] = one
    for entry in entries:
        watch = _watch(entry, services, claims, own, problems)
        if watch is None:
            continue
        place = (watch.bus.value, watch.channel.value)
        if place in by_channel:
            known = path_text(by_channel[place].channel.path)
            problems.warn(watch.channel.path, shown(place[1]), f"each channel once; it is {known} too")
        elif watch.name in by_name:
            _note_second(by_name[watch.name], watch, problems)
        else:
            by_channel[place] = by_name[watch.name] = watch
    # What an entry that is wrong was meant to name would only seem forgotten.
    if entries and not problems.errors:
        _note_forgotten(services, by_name, problems)
    return [by_name[name] for name in sorted(by_name)]


def _members(value: object) -> Members:
    return value if isinstance(value, Members) else Members([])


def _claims(services: Block) -> dict[str, list[str]]:
    """Return which services say of a channel that it is their heartbeat."""
    claims: dict[str, list[str]] = {}
    for name, service in services.members.items():
        channel = _members(_members(service).get("heartbeat")).get("channel")
        if name != HEALER and isinstance(channel, str):
            claims.setdefault(channel, []).append(name)
    return claims


def _watch(
    entry: Block, services: Block, claims: dict[str, list[str]], own: Collection[str], problems: Problems
) -> Watch | None:
    channel = read_channel(entry)
    bus = read_bus(entry)
    if channel is None and "key" not in entry and entry.sound:
        problems.error(entry.path, "no key", f"an entry like {EXAMPLE}")
    if channel is None or not entry.sound:
        return None
    claimants = claims.get(channel.value, [])
    for name in claimants[1:]:
        path = services.at(name, "heartbeat", "channel")
        problems.error(path, shown(channel.value), f"a channel of its own; it is that of {claimants[0]} too")
    name = claimants[0] if claimants else _name(channel.value)
    if name == HEALER or channel.value in own:
        hint = "Left out: Healer's own beat is watched without it."
        problems.warn(channel.path, shown(channel.value), "the heartbeat of a service", hint)
        return None
    fault = text_fault(name)
    if claimants and fault is not None:
        problems.error(services.at(name), shown(name), "a service's name that a label can hold", fault)
        return None
    if fault is not None:
        expected = "a channel that starts with its service's name"
        problems.error(channel.path, shown(channel.value), expected, fault if name else "")
        return None
    block = services.block(name)
    return (
        Watch(name, bus, channel, block)
        if _beats_there(entry, channel, block, claimed=bool(claimants), problems=problems)
        else None
    )


def _beats_there(
    entry: Block, channel: Given[str], block: Block, *, claimed: bool, problems: Problems
) -> bool:
    """Return whether a service may beat on the channel of an entry; note it if it says that it beats elsewhere."""
    if (source := beyond_redis(block.members)) is not None:
        hint = "Remove the entry: it is watched without one."
        expected = f'no entry for {block.path[-1]}, which has "source": {quoted(source.value)}'
        problems.error(entry.path, shown(channel.value), expected, hint)
        return False
    if not claimed and read_channel(block.block("heartbeat"), "channel"):
        declared = path_text(block.at("heartbeat", "channel"))
        hint = "Healer would listen where nobody beats: make the two equal."
        problems.error(channel.path, shown(channel.value), f"the channel that {declared} names", hint)
        return False
    return True


def _beyond_redis(services: Block, problems: Problems) -> list[Watch]:
    """Return what beats without Redis: nothing is subscribed to there, so the service itself says so."""
    watches = []
    for name, service in services.members.items():
        source = None if name == HEALER else beyond_redis(service)
        if source is None:
            continue
        fault = text_fault(name)
        if fault is not None:
            problems.error(services.at(name), shown(name), "a service's name that a label can hold", fault)
            continue
        block = services.block(name)
        place = read_place(name, block, source)
        if place is not None:
            watches.append(Watch(name, Given(source.value, "default"), place, block))
    return watches


def _name(channel: str) -> str:
    separator = SUFFIX if SUFFIX in channel else ":"
    return channel.partition(separator)[0]


def _note_second(known: Watch, second: Watch, problems: Problems) -> None:
    expected = f"one heartbeat of {second.name}; it has one on {known.bus.value} as {known.channel.value}"
    found = f"{shown(second.channel.value)} on {second.bus.value}"
    problems.error(second.channel.path, found, expected, "Keep the entry that is right.")


def _note_forgotten(services: Block, watched: Collection[str], problems: Problems) -> None:
    undeclared = [name for name in watched if name not in services]
    for name, service in services.members.items():
        if name in watched or name == HEALER or not isinstance(_members(service).get("heartbeat"), Members):
            continue
        meant = alike(name, undeclared) if problems.may_suggest(undeclared) else None
        hint = f"Did you mean it where Healer subscribes to {meant}? " if meant else ""
        problems.warn(
            services.at(name, "heartbeat"),
            "a heartbeat that Healer does not subscribe to",
            "an entry in subscribe_to",
            f"{hint}Add it, or {name} is not watched.",
        )
