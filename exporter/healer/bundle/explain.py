"""How long it takes until somebody knows of a service's death and of its return, link by link."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from healer.bundle.command import load
from healer.bundle.errors import BundleError
from healer.bundle.text import duration, number
from healer.truth.blocks import alike
from healer.truth.problems import TruthError
from healer.truth.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from healer.bundle.settings import Settings
    from healer.truth.model import Service, Truth

SLACK_SECONDS = 1.0
"""What a beat on its way, and the clocks of exporter and Prometheus, may be off with nobody at fault."""
LOOKBACK_SECONDS = 300.0
"""How far back Prometheus looks for a series' newest sample."""


@dataclass(frozen=True, slots=True)
class Link:
    """One stretch of the way. Durations are seconds.

    Attributes:
        name: What takes the time.
        typical: On average, over the moment at which the service dies or returns.
        worst: At most.
        why: What decides it.
    """

    name: str
    typical: float
    worst: float
    why: str


@dataclass(frozen=True, slots=True)
class Way:
    """From a death or a return to those who want to know.

    Attributes:
        rules: The links until the alert fires or ends.
        sentinel: The one from there to the event on the alerts channel.
        people: The one from there to a message.
    """

    rules: tuple[Link, ...]
    sentinel: Link
    people: Link

    def to_rules(self) -> tuple[float, float]:
        """Return the typical and the worst time until the alert fires or ends."""
        return sum(link.typical for link in self.rules), sum(link.worst for link in self.rules)


def _every(name: str, seconds: float) -> Link:
    return Link(name, seconds / 2, seconds, f"every {_span(seconds)}")


def detection(service: Service, settings: Settings) -> Way:
    """Return the way from `service`'s death."""
    wait, limit = settings.group_interval, settings.people.rate_limit
    return Way(
        rules=(
            Link(
                "last beat",
                -service.interval / 2,
                0.0,
                f"beats every {_span(service.interval)} until it dies",
            ),
            Link("timeout", service.timeout, service.timeout, _origin(service, "timeout")),
            _every("scrape", settings.scrape_interval),
            *(
                [_every("evaluation of the bus", settings.evaluation_interval)]
                if settings.rule_shards > 1
                else []
            ),
            _every("evaluation", settings.evaluation_interval),
        ),
        sentinel=Link(
            "sentinel route",
            0.0,
            wait,
            f"group_wait 0s; if it was missing just before, group_interval {_span(wait)}",
        ),
        people=Link(
            "people route",
            wait,
            max(wait, limit),
            f"group_wait {_span(wait)}; if it was just told of, group_interval {_span(limit)}",
        ),
    )


def recovery(settings: Settings) -> Way:
    """Return the way from the first beat of a missing service."""
    return Way(
        rules=(
            _every("scrape", settings.scrape_interval),
            _every("evaluation", settings.evaluation_interval),
        ),
        sentinel=_every("sentinel route", settings.group_interval),
        people=_every("people route", settings.people.rate_limit),
    )


def doubts(service: Service, settings: Settings) -> Iterator[str]:
    """Yield what in the timing of `service` could raise a false miss, or lose one; nothing if it is sound."""
    least = service.interval + settings.scrape_interval + SLACK_SECONDS
    if service.timeout < least:
        yield (
            f"a timeout of {_span(service.timeout)} is under interval + scrape interval + slack ="
            f" {_span(service.interval)} + {_span(settings.scrape_interval)} + {_span(SLACK_SECONDS)} ="
            f" {_span(least)}: a beat held up for a moment, or clocks that differ, can make a false miss."
            f" Set timeout_sec to {number(max(least, 3 * service.interval))}."
        )
    for name in ("scrape_interval", "evaluation_interval"):
        seconds = getattr(settings, name)
        if 2 * seconds > LOOKBACK_SECONDS:
            yield (
                f"{name} is {_span(seconds)}, and Prometheus forgets a series after"
                f" {_span(LOOKBACK_SECONDS)}: one that fails, and rules lose what they remember."
                f" Set it to {_span(LOOKBACK_SECONDS / 2)} at most."
            )


def explain(
    source: str,
    name: str,
    settings: Settings,
    env: Mapping[str, str],
    *,
    out: TextIO,
    err: TextIO,
) -> int:
    """Print how long the death and the return of the service `name` take to be known; return the exit status.

    Args:
        source: A truth file, `-` for standard input, or `redis`.
        name: The service.
        settings: Of the bundle.
        env: Environment variables, for the truth.
        out: For the explanation.
        err: For what is wrong or doubtful.
    """
    try:
        truth = load(source, env, err).truth
        service = _find(truth, name)
    except (TruthError, StoreError, BundleError) as error:
        print(error, file=err)
        return 1
    print(*_page(service, truth, settings), sep="\n", file=out)
    for doubt in doubts(service, settings):
        print(f"warning: {name}: {doubt}", file=err)
    return 0


def _find(truth: Truth, name: str) -> Service:
    for service in truth.services:
        if service.name == name:
            return service
    names = [service.name for service in truth.services]
    meant = alike(name, names)
    hint = f"Did you mean {meant}?" if meant else f"There are: {', '.join(names) or 'none'}."
    raise BundleError([f"the truth watches no service {name!r}. {hint}"])


def _origin(service: Service, what: str) -> str:
    return service.origins.get(what, "default")


def _page(service: Service, truth: Truth, settings: Settings) -> Iterator[str]:
    channel = truth.monitor.alerts_channel
    yield f"{service.name} on {service.bus}, channel {service.channel}"
    yield f"  a beat every {_span(service.interval)} ({_origin(service, 'interval')})"
    yield f"  missing after {_span(service.timeout)} ({_origin(service, 'timeout')})"
    yield ""
    way = detection(service, settings)
    yield from _table("from its death", way, "HeartbeatMiss fires", f"heartbeat_miss on {channel}")
    yield ""
    way = recovery(settings)
    yield from _table("from its first beat", way, "HeartbeatMiss ends", f"heartbeat_ok on {channel}")
    never = service.warmup + settings.scrape_interval + settings.evaluation_interval
    yield ""
    yield (
        f"never heard since an exporter began to listen: missing {_span(never)} later at worst,"
        f" {_span(service.warmup)} of it warm-up"
    )
    if not settings.people.anybody:
        yield "nobody is configured to be told: set WEBHOOK_URL_FILE or SMTP_HOST"


def _table(title: str, way: Way, fires: str, event: str) -> Iterator[str]:
    typical, worst = way.to_rules()
    ends = [
        (Link(f"= {name}", typical + link.typical, worst + link.worst, ""), link)
        for name, link in ((event, way.sentinel), ("people are told", way.people))
    ]
    reached = Link(f"= {fires}", typical, worst, "")
    rows: Sequence[Link] = [*way.rules, reached, *chain.from_iterable((link, end) for end, link in ends)]
    width = max(len(row.name) for row in rows) + 2
    yield f"{title:<{width + 2}}{'typical':>8}{'worst':>10}"
    for row in rows:
        line = f"  {row.name:<{width}}{_span(row.typical):>8}{_span(row.worst):>10}"
        yield f"{line}  {row.why}".rstrip()


def _span(seconds: float) -> str:
    """Return a duration for people: `1m30s`, but `2.5s`."""
    sign, size = ("-" if seconds < 0 else ""), round(abs(float(seconds)), 3)
    return sign + (duration(size) if size.is_integer() else f"{number(size)}s")
