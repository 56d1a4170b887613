"""A service that does nothing but beat: `python -m healer.demo.service NAME CHANNEL URL INTERVAL`."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import redis

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_SECONDS = 0.2


def beat(name: str, channel: str, url: str, interval: float, say: Callable[[str], object] = print) -> None:
    """Publish a beat every `interval` seconds, forever; while Redis is gone, keep trying.

    Args:
        name: The `svc` of the beats.
        channel: Where they are published.
        url: Of the Redis server.
        interval: Seconds between two beats.
        say: Takes a line when beating begins, breaks off and goes on.
    """
    client = redis.Redis.from_url(url, socket_timeout=interval, socket_connect_timeout=interval)
    count, beating, due = 0, None, time.monotonic()
    while True:
        count += 1
        message = json.dumps({"svc": name, "i": count, "ts": time.time()}, separators=(",", ":"))
        try:
            client.publish(channel, message)
        except redis.RedisError as error:
            if beating is not False:
                say(f"no beat can be published: {error}")
            beating, due = False, time.monotonic() + min(RETRY_SECONDS, interval)
        else:
            if not beating:
                say(f"beating since i={count}")
            beating, due = True, max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    _, name, channel, url, interval = sys.argv
    beat(name, channel, url, float(interval), lambda line: print(line, flush=True))  # noqa: T201  its log
