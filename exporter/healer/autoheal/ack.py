"""/ack: a page that asks, and a POST that has Alertmanager silence exactly what the labels name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from aiohttp import web

from healer.autoheal.access import principal_of
from healer.autoheal.events import Kind
from healer.autoheal.journal import JournalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from healer.autoheal.access import Access
    from healer.autoheal.dispatch import Dispatcher
    from healer.autoheal.record import Recorder

CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
SECONDS = 10.0
MAX_LABELS = 32
MAX_VALUE = 1024
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,7})s)?", re.ASCII)
_OK = 200


class AckError(ValueError):
    """What is asked for is not allowed; the message says what is."""


@dataclass(frozen=True, slots=True)
class Silence:
    """What is to be silenced.

    Attributes:
        labels: Labels and their exact values.
        duration: For how long, as it was asked.
        seconds: The same.
    """

    labels: Mapping[str, str]
    duration: str
    seconds: float


def parse(labels: str, duration: str, longest: float) -> Silence:
    """Return the silence that two parameters ask for.

    Args:
        labels: A JSON object of labels and their exact values.
        duration: Such as `30m`, `2h`, `1h30m`.
        longest: Seconds that it may last at most.

    Raises:
        AckError: They ask for none, or for one that is too wide or too long.
    """
    try:
        found = msgspec.json.decode(labels or "{}", type=dict[str, str])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise AckError('labels: expected a JSON object such as {"alertname":"HeartbeatMiss"}') from None
    if not found.get("alertname"):
        raise AckError("labels: expected an alertname; a silence without one would hide everything")
    good = all(_LABEL.fullmatch(name) and 0 < len(value) <= MAX_VALUE for name, value in found.items())
    if not good or len(found) > MAX_LABELS:
        raise AckError(f"labels: expected at most {MAX_LABELS} label names, each with a value")
    parts = _DURATION.fullmatch(duration)
    if not duration or parts is None:
        raise AckError("duration: expected one such as 30m, 2h or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    total = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    if not 0 < total <= longest:
        raise AckError(f"duration: expected more than nothing and at most {longest:.0f} s")
    return Silence(found, duration, total)


class Ack:
    """The resource /ack."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        recorder: Recorder,
        access: Access,
        alertmanager: str,
        *,
        style: str,
        icon: str,
    ) -> None:
        """Make the resource.

        Args:
            dispatcher: Has the policy.
            recorder: Puts it on record.
            access: Says who may.
            alertmanager: Its URL, the only one that is ever asked; empty: there is none.
            style: Where the stylesheet is, relative to `/`.
            icon: Where the icon is.
        """
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._access = access
        self._alertmanager = alertmanager
        self._style = style
        self._icon = icon

    def serve_on(self, app: web.Application) -> None:
        """Add the resource to `app`."""
        app.router.add_get("/ack", self._ask)
        app.router.add_post("/ack", self._do)

    async def _ask(self, request: web.Request) -> web.Response:
        labels, duration = request.query.get("labels", ""), request.query.get("duration", "30m")
        try:
            silence = parse(labels, duration, self._dispatcher.policy.ack_longest)
        except AckError as error:
            return self._page("This cannot be silenced", f"<p>{escape(str(error))}</p>", 400)
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in silence.labels.items()
        )
        hidden = {"labels": labels, "duration": duration, "csrf": self._access.csrf(request)}
        fields = "".join(f'<input type="hidden" name="{n}" value="{escape(v)}">' for n, v in hidden.items())
        body = (
            f"<p>Alerts with exactly these labels will be silent for {escape(duration)}, in the name of"
            f" {escape(principal_of(request))}.</p><table>{rows}</table>"
            f'<form method="post" action="ack">{fields}<button>Silence</button></form>'
        )
        return self._page("Silence this alert?", body)

    async def _do(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = {
            name: str(form.get(name, request.query.get(name, ""))) for name in ("labels", "duration", "csrf")
        }
        refusal = self._access.may_change(request, given["csrf"])
        if refusal is not None:
            return refusal
        try:
            silence = parse(given["labels"], given["duration"] or "30m", self._dispatcher.policy.ack_longest)
        except AckError as error:
            return web.Response(status=400, text=f"{error}\n")
        if not self._alertmanager:
            return web.Response(status=503, text="set ALERTMANAGER_URL: nobody can make a silence\n")
        return await self._silence(request, silence)

    async def _silence(self, request: web.Request, silence: Silence) -> web.Response:
        principal = principal_of(request)
        facts = {"labels": dict(silence.labels), "duration": silence.duration, "principal": principal}
        try:
            # Before the silence: one that is made without a record would be worse than none.
            await self._note(silence, detail="asked for", **facts)
            made = await self._ask_alertmanager(silence, principal)
            await self._note(silence, silence_id=made, **facts)
        except JournalError as error:
            return web.Response(status=503, text=f"{error}\n")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return web.Response(status=502, text=f"Alertmanager made no silence: {error}\n")
        if "text/html" in request.headers.get("Accept", ""):
            return self._page("Silenced", f"<p>{escape(made)}</p>")
        return web.json_response({"silence_id": made, "duration": silence.duration, "created_by": principal})

    async def _note(self, silence: Silence, **facts: object) -> None:
        event = self._recorder.event(Kind.ACK, alertname=silence.labels["alertname"], **facts)
        await self._recorder.write(event)

    async def _ask_alertmanager(self, silence: Silence, principal: str) -> str:
        now = datetime.now(UTC)
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in silence.labels.items()
            ],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(seconds=silence.seconds)).isoformat(),
            "createdBy": principal,
            "comment": "Acknowledged through autoheal.",
        }
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{self._alertmanager}/api/v2/silences", json=body, allow_redirects=False) as answer,
        ):
            text = await answer.text()
            if answer.status != _OK:
                raise ValueError(f"HTTP status {answer.status}: {text[:200]}")
            return str(msgspec.json.decode(text, type=dict[str, str]).get("silenceID", ""))

    def _page(self, title: str, body: str, status: int = 200) -> web.Response:
        text = (
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="{escape(self._icon)}"><link rel="stylesheet" href="{escape(self._style)}"></head>\n'
            f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
        )
        headers = {"Content-Security-Policy": CSP}
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)
