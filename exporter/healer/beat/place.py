"""Where a service's beats go and how often, as the truth in Redis says."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from healer.beat.rhythm import DEFAULT_INTERVAL
from healer.truth.buses import EXPECTED_URL, url_fault
from healer.truth.load import parse
from healer.truth.model import Source
from healer.truth.problems import TruthError, shown
from healer.truth.store import StoreError, fetch, location

if TYPE_CHECKING:
    from collections.abc import Mapping


ELSEWHERE = ("http://", "https://", "file:///")
"""How URLs begin that are no Redis'."""


class PlaceError(Exception):
    """It cannot be told where a service beats; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how often a service beats.

    Attributes:
        url: As `healer.beat.senders.sender` takes it; it may hold a password.
        channel: The channel or key.
        interval: Seconds between two beats.
        expiry: Seconds after which the key expires, for a service that beats by a key; else None.
    """

    url: str = field(repr=False)
    channel: str
    interval: float
    expiry: float | None = None


def find(
    svc: str, env: Mapping[str, str], url: str | None, channel: str | None, every: float | None
) -> Place:
    """Return where `svc` beats; with `url` given, the truth is not asked.

    Args:
        svc: The service.
        env: Says where the truth is.
        url: Of the bus.
        channel: Instead of the truth's, or of `<svc>:heartbeat`.
        every: Instead of the truth's interval, or of 10 s.

    Raises:
        PlaceError: `url` is none, or the truth cannot be had, or does not know `svc`.
    """
    if url is not None:
        fault = None if url.startswith(ELSEWHERE) else url_fault(url)
        if fault is not None:
            raise PlaceError(f"--url: found {shown(url)}, expected {EXPECTED_URL}. {fault}")
        return Place(url, channel or f"{svc}:heartbeat", every or DEFAULT_INTERVAL)
    advice = "Or say where it beats: --url redis://HOST:6379"
    try:
        where = location(env)
        truth = parse(asyncio.run(fetch(where.url, where.key)), env=env, source=where.key).truth
    except (StoreError, TruthError) as error:
        raise PlaceError(f"{error}\n{advice}") from None
    service = next((one for one in truth.services if one.name == svc), None)
    if service is None:
        like = difflib.get_close_matches(svc, [one.name for one in truth.services], 1)
        meant = f" Did you mean {like[0]}?" if like else ""
        raise PlaceError(f"the truth ({where.key}) has no service {svc}.{meant}\n{advice}")
    every = every or service.interval
    if service.source is Source.PUSH:
        raise PlaceError(
            f"{svc} posts its beats, and the truth does not say where: --url http://EXPORTER:9877"
        )
    if service.source is Source.FILE:
        return Place(f"file://{quote(service.channel)}", service.channel, every)
    expiry = service.timeout if service.source is Source.KEY else None
    return Place(truth.bus(service.bus).url, channel or service.channel, every, expiry)
