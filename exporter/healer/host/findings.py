"""What a look at a host says: an item for each thing looked at, its level, and the alerts that it raises or clears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from healer.truth.limits import LIMITS, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from healer.truth.limits import Form, Limit
    from healer.truth.machines import Host

KINDS: Final = {
    "units": ("unit", "restarts"),
    "mounts": ("mount",),
    "memory": ("memory",),
    "heartbeat_files": ("heartbeat_file",),
    "logs": ("log",),
}
"""The keys of a host in the truth, with the kinds of items that come of them."""

_ORDER: Final = [kind for kinds in KINDS.values() for kind in kinds]
_DAY, _HOUR, _MINUTE = 86_400, 3600, 60


@dataclass(frozen=True, slots=True)
class Finding:
    """An alert that an item raises.

    Attributes:
        limit: Which.
        labels: All its labels, exactly as the rules have them.
        value: What was measured, in words; empty if nothing was.
        since: Since when, in epoch seconds; None: nobody knows.
    """

    limit: Limit
    labels: Mapping[str, str]
    value: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at.

    Attributes:
        kind: `unit`, `restarts`, `mount`, `memory`, `heartbeat_file` or `log`.
        name: Of the unit, mount point, file or log; of memory the word itself.
        level: How it is.
        text: What was found, in a few words.
        value: The same as a number: 1 for an active unit and 0 for another, restarts, percent, seconds, errors;
            None: unknown, or a file that is missing has no age.
        raised: The alerts that it raises.
        cleared: The labels of the alerts that it shows to be over or never to have been.
    """

    kind: str
    name: str
    level: Level
    text: str
    value: float | None
    raised: tuple[Finding, ...] = ()
    cleared: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One look at a host.

    Attributes:
        host: Its name.
        ts: When, in epoch seconds.
        items: Everything that was looked at, the worst first.
    """

    host: str
    ts: float
    items: tuple[Item, ...]

    @property
    def level(self) -> Level:
        """The worst of the items; of none nothing is known."""
        return max((item.level for item in self.items), key=lambda level: level.rank, default=Level.UNKNOWN)

    @property
    def summary(self) -> str:
        """How many items are how, in one line."""
        if not self.items:
            return "nothing to look at"
        counts = {level: sum(item.level is level for item in self.items) for level in reversed(Level)}
        return ", ".join(f"{count} {level.lower()}" for level, count in counts.items() if count)

    def show(self) -> dict[str, Any]:
        """Return it as `healer check --json` and `/health` show it."""
        return {
            "host": self.host,
            "level": str(self.level),
            "summary": self.summary,
            "ts": round(self.ts, 3),
            "items": [
                {
                    "kind": item.kind,
                    "name": item.name,
                    "level": str(item.level),
                    "text": item.text,
                    "value": item.value,
                    "alerts": [finding.limit.alert for finding in item.raised],
                }
                for item in self.items
            ],
        }


@dataclass(frozen=True, slots=True)
class Measured:
    """A value and the limits that it is held against.

    Attributes:
        limit: The alert.
        value: What was measured.
        of: What the truth says: has the threshold.
        since: Since when the value is as it is, if it breaks the limit; None: nobody knows.
    """

    limit: Limit
    value: float
    of: object
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """Makes items of what was measured on `host`."""

    host: Host

    def known(
        self,
        kind: str,
        name: str,
        text: str,
        value: float | None,
        *measured: Measured,
        label: str = "",
        probe: Mapping[str, str] | None = None,
    ) -> Item:
        """Return the item of what could be looked at.

        Args:
            kind: Of the item.
            name: Of the item.
            text: What was found.
            value: The item's.
            measured: Values and limits.
            label: The label of the alerts that holds the name; empty: none does.
            probe: The labels `probe` and `target` by which a failure to look would be known.
        """
        named = {label: name} if label else {}
        raised, cleared = [], []
        for each in measured:
            labels = self._labels(each.limit, named)
            if each.limit.broken(each.value, each.of):
                raised.append(Finding(each.limit, labels, spoken(each.value, each.limit.form), each.since))
            else:
                cleared.append(labels)
        if probe:
            cleared.append(self._labels(LIMITS.probe_failed, probe))
        level = max(
            (finding.limit.level for finding in raised), key=lambda level: level.rank, default=Level.HEALTHY
        )
        return Item(kind, name, level, text, value, tuple(raised), tuple(cleared))

    def unknown(self, kind: str, name: str, why: str, probe: Mapping[str, str]) -> Item:
        """Return the item of what could not be looked at: that raises an alert of its own, and clears none."""
        finding = Finding(LIMITS.probe_failed, self._labels(LIMITS.probe_failed, probe))
        return Item(kind, name, Level.UNKNOWN, why, None, (finding,))

    def report(self, items: Iterable[Item], ts: float) -> Report:
        """Return the report of `items`."""
        ordered = sorted(items, key=lambda item: (-item.level.rank, _ORDER.index(item.kind), item.name))
        return Report(self.host.name, ts, tuple(ordered))

    def _labels(self, limit: Limit, more: Mapping[str, str]) -> dict[str, str]:
        labels = {"alertname": limit.alert, "severity": limit.severity, "host": self.host.name, **more}
        return labels | ({"team": self.host.team} if self.host.team else {})


def spoken(value: float, form: Form = "plain") -> str:
    """Return `value` for people: as it is, with one decimal, or seconds as `4m 10s`."""
    if form == "decimal":
        return f"{value:.1f}"
    if form == "plain":
        return f"{value:g}"
    left = int(abs(value))
    parts = []
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if value <= -1 else "") + (" ".join(parts) or "0s")
