"""Reads how a service beats, and finds those whose beats Redis does not carry."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from healer.truth.blocks import LONGEST_TEXT, Given, alike
from healer.truth.document import Members
from healer.truth.model import Source
from healer.truth.problems import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from healer.truth.blocks import Block
    from healer.truth.buses import Use
    from healer.truth.problems import Problems

PUSH_PATH = "/beat/"
"""Before the service's name: where its beats are posted."""

PUSH_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
"""What can stand in a URL and in the file of tokens as it is."""

REDIS_KEYS = ("channel", "redis_url")
"""Of a `heartbeat` block: what means nothing for beats that Redis does not carry."""


def source(block: Block) -> Given[Source]:
    """Return how a service beats."""
    given = block.text("source", '"pubsub"')
    known = [source.value for source in Source]
    if given is not None and given.value in known:
        return Given(Source(given.value), given.path)
    if given is not None:
        hint = f"Did you mean {meant}?" if (meant := alike(given.value, known)) else "Remove it for pubsub."
        block.wrong("source", f"one of {', '.join(known)}", hint)
    return Given(Source.PUBSUB, "default")


def own_source(block: Block) -> None:
    """Note it if Healer itself is to beat in any other way than by publishing."""
    if source(block).value is not Source.PUBSUB:
        block.wrong("source", '"pubsub"', "Healer's own beat is a message on every bus: remove it.")
    if "path" in block:
        block.wrong("path", "no path", "Healer's own beat is a message on every bus: remove it.")


def check_path(block: Block, given: Source) -> None:
    """Note a `path` of a service whose beat is no file."""
    if "path" in block and given is not Source.FILE:
        block.wrong("path", 'no path without "source": "file"', "Remove it, or set source.")


def beyond_redis(service: object) -> Source | None:
    """Return the source of a service's block if it needs no Redis; silent about whatever is wrong."""
    heartbeat = service.get("heartbeat") if isinstance(service, Members) else None
    value = heartbeat.get("source") if isinstance(heartbeat, Members) else None
    return next((one for one in Source if one.value == value and not one.needs_bus), None)


def read_place(name: str, block: Block, given: Source) -> Given[str] | None:
    """Return the path of the file, or of the URL, that is the heartbeat of `name`; None if, noted, there is none."""
    heartbeat = block.block("heartbeat")
    for key in REDIS_KEYS:
        if key in heartbeat:
            heartbeat.wrong(
                key, f'no {key} with "source": {quoted(given.value)}', "Redis has no part in it: remove it."
            )
    if given is Source.FILE:
        return _file(heartbeat)
    if PUSH_NAME.fullmatch(name) is None:
        hint = "It stands in a URL: rename the service."
        heartbeat.wrong(
            "source", "a service's name of at most 64 letters, digits and _ . @ -", hint, found=shown(name)
        )
        return None
    return Given(f"{PUSH_PATH}{name}", "default")


def _file(heartbeat: Block) -> Given[str] | None:
    expected = "the absolute path of a file, such as /run/backup/heartbeat"
    if "path" not in heartbeat:
        heartbeat.wrong("path", expected, 'Say which with "path".', found="nothing")
        return None
    given = heartbeat.text("path", expected, LONGEST_TEXT)
    if given is None:
        return None
    plain = "/" + posixpath.normpath(given.value).lstrip("/")
    if not given.value.startswith("/"):
        heartbeat.wrong("path", expected, "It starts with /.")
        return None
    if given.value != plain or plain == "/":
        heartbeat.wrong("path", expected, f"Write {plain}." if plain.strip("/") else "Name a file.")
        return None
    return given


def note_taken(uses: Sequence[Use], used: Sequence[Source], problems: Problems) -> None:
    """Note Redis buses that are called like a source that is used: one label would stand for both."""
    for use in uses:
        taken = next((one for one in used if one.value == use.bus.value), None)
        if taken is not None:
            problems.error(
                use.bus.path,
                shown(use.bus.value),
                f"another name for a bus: services with source {quoted(taken.value)} are on this one",
                "Rename the bus.",
            )
