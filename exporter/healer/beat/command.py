"""`healer beat`: one beat, beats until a signal, or beats while a command runs."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, TextIO

import redis

from healer.beat.client import Heartbeat
from healer.beat.place import Place, PlaceError, find
from healer.beat.rhythm import Rhythm
from healer.beat.senders import SendError, sender
from healer.beat.wrapper import CommandError, run
from healer.runtime.redact import safe_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMEOUT = 5.0
ASK_AGAIN = 15.0
"""Seconds until a truth that could not be had is asked for again, while a command runs without beats."""


def once(svc: str, look: Callable[[], Place], out: TextIO, err: TextIO) -> int:
    """Publish one beat; return the exit status.

    Args:
        svc: The service.
        look: Finds where.
        out: Told where it went and who heard it.
        err: Told why it did not.
    """
    try:
        place = look()
        beat = Rhythm(svc, place.channel, place.interval, None).next()
        way = sender(svc, place.url, place.channel, TIMEOUT, expiry=place.expiry)
        heard = way.send(beat or b"")
        way.close()
    except PlaceError as error:
        err.write(f"Error: {error}\n")
        return 1
    except (redis.RedisError, OSError, ValueError, SendError) as error:
        err.write(f"Error: no beat of {svc} can be published on {safe_url(place.url)}: {error}\n")
        return 1
    if heard is None:
        out.write(f"{svc} beat at {safe_url(place.url)}\n")
        return 0
    listeners = f"heard by {heard}" if heard else "but nobody listens: is the exporter subscribed to it?"
    out.write(f"{svc} beat on {place.channel} at {safe_url(place.url)}, {listeners}\n")
    return 0


def forever(svc: str, look: Callable[[], Place], err: TextIO) -> int:
    """Beat until SIGTERM or SIGINT; return the exit status."""
    try:
        place = look()
    except PlaceError as error:
        err.write(f"Error: {error}\n")
        return 1
    _log_to(err)
    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with _heart(svc, place):
        signal.sigwait(ending)
    return 0


def during(svc: str, look: Callable[[], Place], command: Sequence[str], err: TextIO) -> int:
    """Run `command` and beat while it runs; return its exit status.

    The command matters more than its beats: it starts at once, also while neither truth nor Redis is there.
    """
    _log_to(err)
    ended = threading.Event()

    def beat() -> None:
        said = ""
        while not ended.is_set():
            try:
                place = look()
            except PlaceError as error:
                if str(error) != said:
                    said = str(error)
                    err.write(f"healer beat: {svc} does not beat: {error}\n")
                ended.wait(ASK_AGAIN)
                continue
            with _heart(svc, place):
                ended.wait()

    try:
        return run(command, threading.Thread(target=beat, name="beat", daemon=True).start)
    except CommandError as error:
        err.write(f"healer beat: {error}\n")
        return error.status
    finally:
        ended.set()


def look_for(svc: str, url: str | None, channel: str | None, every: float | None) -> Callable[[], Place]:
    """Return a function that finds where `svc` beats, from what was given and the truth."""
    return lambda: find(svc, os.environ, url, channel, every)


def _heart(svc: str, place: Place) -> Heartbeat:
    return Heartbeat(svc, place.url, place.interval, channel=place.channel, expiry=place.expiry)


def _log_to(err: TextIO) -> None:
    handler = logging.StreamHandler(err)
    handler.setFormatter(logging.Formatter("healer beat: %(message)s"))
    logging.getLogger("healer.beat").handlers = [handler]
    logging.getLogger("healer.beat").setLevel(logging.INFO)
