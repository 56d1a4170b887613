"""Logging: one structured line an event in logfmt, on standard error, with bursts held down.

A logger is `structlog.get_logger(component=...)`; an event is a short sentence, its facts are key=value.
Secrets never enter an event: URLs go through `healer.runtime.redact.safe_url` first.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from healer.runtime.clock import Clock

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""What LOG_LEVEL may be."""


def configure(level: str) -> None:
    """Send all of the process's log lines to standard error from `level` (one of `LEVELS`) up."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["ts", "level", "component", "event"], bool_as_flag=False
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Those libraries that log with the standard library; what a host program has set up there stays.
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward()])


class _Forward(logging.Handler):
    """Passes on what the standard library's loggers say."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(component=record.name)
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say(record.getMessage(), exc_info=record.exc_info)


class Throttle:
    """Lets one event in a period through for each key and counts the others.

    Keys must come from a bounded set (bus names, reasons): a key is remembered for good.
    """

    def __init__(self, clock: Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def admit(self, key: str) -> int | None:
        """Return how many events of `key` were held back since the last admitted, or None to hold this one."""
        now = self._clock.monotonic()
        last = self._last.get(key)
        if last is not None and now - last < self._period:
            self._held[key] = self._held.get(key, 0) + 1
            return None
        self._last[key] = now
        return self._held.pop(key, 0)
