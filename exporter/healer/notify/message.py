"""What the sentinel says itself, when nobody else can: that the pipeline is silent, and that it is back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from healer.notify.people import Webhook

_DISCORD = re.compile(r"([\\`*_~|<>\[\]()#@])")
_RED, _GREEN = 0xE01E5A, 0x2EB67D


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Its figures are of the moment in which it was made, however late it arrives.

    Attributes:
        over: Whether the pipeline is back.
        name: The monitor's name.
        since: When the Watchdog was heard last (epoch seconds).
        late: Seconds without one.
        timeout: Seconds after which that is a silence.
        at: When the message was made (epoch seconds).
        host: Who says so.
        runbook: The URL of what to do.
    """

    over: bool
    name: str
    since: float
    late: float
    timeout: float
    at: float
    host: str
    runbook: str

    @property
    def title(self) -> str:
        """One line, for a subject."""
        return f"✅ {self.name}: alerts work again" if self.over else f"🔴 {self.name}: no alerts can come"

    def lines(self) -> list[str]:
        """Return what is below the title, without the link."""
        if self.over:
            return [
                "Prometheus and Alertmanager are heard again.",
                f"From {_when(self.since)}",
                f"to {_when(self.at)}, {self.late:.1f} s",
                f"Said by the sentinel on {self.host}",
            ]
        return [
            "Prometheus or Alertmanager is out: until it is back nobody is told of missing services.",
            f"Since {_when(self.since)}",
            f"Late by {self.late:.1f} s, timeout {self.timeout:.1f} s",
            f"Said by the sentinel on {self.host}, because Alertmanager cannot",
        ]

    def text(self) -> str:
        """Return it as plain text, without the title."""
        return "\n".join([*self.lines(), f"Runbook: {self.runbook}", ""])

    def html(self) -> str:
        """Return it as a page."""
        lines = "<br>\n".join(escape(line) for line in self.lines())
        return (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"></head>\n'
            '<body style="font:16px/1.5 sans-serif;margin:16px;max-width:40em">\n'
            f'<h1 style="font-size:20px;margin:0 0 8px">{escape(self.title)}</h1>\n<p>{lines}</p>\n'
            f'<p><a href="{escape(self.runbook)}">Runbook</a></p>\n</body>\n</html>\n'
        )

    def payload(self, kind: Webhook) -> bytes:
        """Return the body for a webhook of `kind`."""
        return json.dumps(self._body(kind)).encode()

    def _body(self, kind: Webhook) -> dict[str, Any]:
        if kind is Webhook.SLACK:
            lines = [*map(_slack, self.lines()), f"<{_link(self.runbook)}|Runbook>"]
            attachment = {
                "color": "good" if self.over else "danger",
                "fallback": _slack(self.title),
                "title": _slack(self.title),
                "text": "\n".join(lines),
                "mrkdwn_in": ["pretext"],
            }
            return {"username": "Healer", "attachments": [attachment]}
        if kind is Webhook.DISCORD:
            lines = [*map(_discord, self.lines()), f"[Runbook]({_link(self.runbook)})"]
            embed = {
                "title": _discord(self.title),
                "description": "\n".join(lines),
                "color": _GREEN if self.over else _RED,
            }
            return {"embeds": [embed], "allowed_mentions": {"parse": []}}
        return {
            "type": "pipeline_ok" if self.over else "pipeline_silent",
            "svc": self.name,
            "late_sec": round(self.late, 1),
            "timeout_sec": self.timeout,
            "ts": int(self.at),
            "title": self.title,
            "text": self.text(),
        }


def _when(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _discord(text: str) -> str:
    return _DISCORD.sub(r"\\\1", text)


def _link(url: str) -> str:
    return re.sub(r"[<>|\s]", "", url).replace("(", "%28").replace(")", "%29")
