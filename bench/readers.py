"""Subscribers to be measured, each a process: the exporter's hearing, and what one would write with redis-py.

`python -m bench.readers ours|redis-py URL CHANNELS MESSAGES`. Says "ready" when subscribed, and the monotonic time of the
last message; with 0 messages it reads on until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis import Redis

from healer.beats.board import Slot
from healer.beats.bus import BusListener
from healer.beats.cadence import Cadence
from healer.beats.pulse import Identity
from healer.runtime.clock import SystemClock
from healer.truth.model import Bus, Service


def slots_of(number: int) -> dict[str, Slot]:
    """Return slots of services that nobody has heard yet, by channel."""
    services = [Service(f"svc{one}", "bus", f"svc{one}:heartbeat", 10.0, 30.0) for one in range(number)]
    return {service.channel: Slot(service) for service in services}


async def ours(url: str, channels: int, messages: int) -> None:
    """Hear as the exporter does, board and own beats included."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    slots = slots_of(channels)
    listener = BusListener(Bus("bus", url), Identity("healer", "healer:heartbeat", "bench"), SystemClock())
    listener.assign(slots, Cadence(5.0, 600.0))
    task = asyncio.create_task(listener.run())
    every = list(slots.values())
    while not all(slot.since for slot in every):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    # Counting takes time that is not the listener's, so it is not done often.
    while not messages or sum(slot.beats for slot in every) < messages:  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.2)
    print(max(slot.last or 0.0 for slot in every), flush=True)
    task.cancel()


def redis_py(url: str, channels: int, messages: int) -> None:
    """Hear as one does who takes the libraries as they come: listen(), json, labelled metrics."""
    registry = CollectorRegistry()
    last = Gauge("last", "Newest beat.", ["svc"], registry=registry)
    beats = Counter("beats", "Beats.", ["svc"], registry=registry)
    skew = Gauge("skew", "Skew.", ["svc"], registry=registry)
    pubsub = Redis.from_url(url).pubsub()
    pubsub.subscribe(*(f"svc{number}:heartbeat" for number in range(channels)))
    told = seen = 0
    for message in pubsub.listen():
        if message["type"] == "subscribe":
            told += 1
            if told == channels:
                print("ready", flush=True)
            continue
        beat, now = json.loads(message["data"]), time.time()
        last.labels(beat["svc"]).set(now)
        beats.labels(beat["svc"]).inc()
        skew.labels(beat["svc"]).set(now - beat["ts"])
        seen += 1
        if seen == messages:
            print(time.monotonic(), flush=True)
            return


if __name__ == "__main__":
    who, place, *numbers = sys.argv[1:]
    if who == "ours":
        asyncio.run(ours(place, *map(int, numbers)))
    else:
        redis_py(place, *map(int, numbers))
