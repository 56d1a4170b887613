"""Heartbeats for services: a few lines to import that never raise, never block, and stop when the work does.

    from healer.beat import Heartbeat

    with Heartbeat("rss_agg", "redis://system-redis:6379") as heart:
        while True:
            work()
            heart.alive()

`AsyncHeartbeat` is the same for asyncio. docs/publishing.md has more.
"""

from healer.beat.aio import AsyncHeartbeat
from healer.beat.client import Heartbeat

__all__ = ["AsyncHeartbeat", "Heartbeat"]
