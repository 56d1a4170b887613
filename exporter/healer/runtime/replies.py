"""What redis-py and hiredis raise about replies that no Redis sends, turned into an error that is redis-py's own.

Whatever listens on a port may answer anything. A map with a list for a key is a TypeError in hiredis, an empty push message an
IndexError in redis-py; for whoever talks to Redis they are one and the same failure, and no end.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from redis.exceptions import InvalidResponse, RedisError

if TYPE_CHECKING:
    from collections.abc import Iterator

MISUNDERSTANDINGS = (TypeError, ValueError, LookupError, AttributeError)
"""What comes of taking a reply for something that it is not."""


def strange(reply: object) -> RedisError:
    """Return what is wrong with a reply that nobody expects."""
    if isinstance(reply, RedisError):
        return reply
    return InvalidResponse("the server sends what nobody asked it for; is it Redis?")


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Raise `InvalidResponse` for a reply inside that is not what was expected.

    `UnicodeError` is left as it is: it is about the name of a host.
    """
    try:
        yield
    except UnicodeError:
        raise
    except MISUNDERSTANDINGS as error:
        raise strange(None) from error
