"""Says what a comparison found: a line for each disagreement, and a summary with an exit status."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from healer.shadow.compare import MISS, OK, Side, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from healer.shadow.compare import Comparison, Disagreement

AGREED, AGAINST, NOTHING = 0, 1, 2
"""Exit statuses: nothing speaks for the other healer; something does, or is open; nothing was compared."""


def line(found: Disagreement, *, as_json: bool) -> str:
    """Return a disagreement as a line for people, or for programs."""
    if as_json:
        return json.dumps(asdict(found), ensure_ascii=False)
    at = datetime.fromtimestamp(found.at, UTC)
    why = f": {found.why}" if found.why else ""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC  {found.svc}  {found.what}  {found.verdict}{why}"


def summary(comparison: Comparison, seconds: float) -> Iterator[str]:
    """Yield the lines of the summary after so many seconds of listening."""
    count = len(comparison.found)
    matched = {kind: len(lags) for kind, lags in comparison.lags.items()}
    yield f"shadow: listened for {seconds:.0f} s; {sum(matched.values())} events alike, {count} disagreement{'' if count == 1 else 's'}"
    for kind in (MISS, OK):
        told = ", ".join(f"{side} {comparison.events.get((side, kind), 0)}" for side in Side)
        lags = comparison.lags[kind]
        by = (
            f"; ours later by {statistics.median(lags):.1f} s (median), {min(lags):.1f} to {max(lags):.1f} s"
            if lags
            else ""
        )
        yield f"  {kind}: {told}, alike {matched[kind]}{by}"
    for verdict in Verdict:
        if judged := sum(found.verdict is verdict for found in comparison.found):
            yield f"  {verdict}: {judged}"
    for name, counts in (("said again", comparison.repeated), ("not readable", comparison.unreadable)):
        if any(counts.values()):
            yield f"  {name}: " + ", ".join(f"{side} {counts[side]}" for side in Side)
    itself = ", ".join(
        f"{side} {kind} {comparison.events[side, kind]}"
        for side in Side
        for kind in ("healer_miss", "healer_ok")
        if (side, kind) in comparison.events
    )
    if itself:
        yield f"  of itself said: {itself}"
    if undecided := comparison.undecided():
        yield f"  too young to tell at the end: {undecided}"


def status(comparison: Comparison) -> int:
    """Return the exit status."""
    if any(found.verdict is not Verdict.OURS for found in comparison.found):
        return AGAINST
    return AGREED if any(comparison.lags.values()) or comparison.found else NOTHING
