"""Faults put into the rules on purpose, one at a time: each has to be caught by the tests, or the tests prove little.

`make mutants` takes each through the scenarios, the generated tests and a sample of the worlds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import yaml

BEATS = "heartbeat_last_seen_timestamp_seconds"
WATCH = "heartbeat_watch_start_timestamp_seconds"
OWN = 'heartbeat_bus_loopback_timestamp_seconds{job="heartbeat"}'
TRUTH = "svc:heartbeat_timeout_seconds:truth"
WARMUP = "svc:heartbeat_warmup_seconds:truth"
AGE = "instance_bus:heartbeat_loopback_age_seconds"
WITNESS = "instance_bus:heartbeat_witness_timestamp_seconds:max"
OBSERVED = "bus:heartbeat_observed_timestamp_seconds:min"
SEEN = "svc:heartbeat_last_seen_timestamp_seconds:max"
WATCHED_SINCE = "svc:heartbeat_watch_start_timestamp_seconds:min"
SILENT = "svc:heartbeat_silent_since_timestamp_seconds:latched"
WATCHED = "svc:heartbeat_watched_timestamp_seconds:max"
ALIVE = "healer:heartbeat_alive_timestamp_seconds:max"
MISSING = "svc:heartbeat_missing:bool"
RETURNED = "svc:heartbeat_returned_timestamp_seconds"
WATCHING = "svc:heartbeat_watching:bool"
ABOUT_MISSES = frozenset({AGE, WITNESS, OBSERVED, SEEN, WATCHED_SINCE, SILENT, "HeartbeatMiss"})

FIRST = rf"^max by \(svc\) \( {SILENT}.*? \) or on \(svc\) "
OBSERVED_NOW = r"scalar\(\S+?\)"


class MutationError(Exception):
    """A mutation no longer fits the rules."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault.

    Attributes:
        what: The fault, in words.
        rule: The alert or recorded series that has it.
        find: A regular expression for what is replaced in the rule's field, white space being one space.
        into: What it becomes.
        field: Which field of the rule.
    """

    what: str
    rule: str
    find: str
    into: str
    field: str = "expr"

    @property
    def about_misses(self) -> bool:
        """Whether the worlds, which are about misses alone, could tell."""
        return self.rule in ABOUT_MISSES and self.field == "expr"

    def apply(self, rules: str, *, branches: bool = False) -> str:
        """Return `rules` with the fault.

        Args:
            rules: A rules file.
            branches: The constants may have several branches, each of which gets the fault.

        Raises:
            MutationError: The fault does not fit the rule in exactly one place, or changes nothing.
        """
        document = yaml.load(rules, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        every = [rule for group in document["groups"] for rule in group["rules"]]
        mutated = [rule for rule in every if self.rule in {rule.get("alert"), rule.get("record")}]
        if not mutated:
            raise MutationError(f"{self.what}: no rule {self.rule}")
        for rule in mutated:
            holder, field = rule, self.field
            if "." in field:
                outer, field = field.split(".")
                holder = rule[outer]
            before = " ".join(str(holder.get(field, "")).split())
            after, count = re.subn(self.find, self.into, before)
            if (count != 1 and not (count and branches)) or after == before:
                raise MutationError(f"{self.what}: fits {count} places of {self.rule}.{self.field}: {before}")
            holder[field] = after
        return json.dumps(document)


def _removed(what: str, rule: str, clause: str) -> Mutant:
    return Mutant(f"without {what}", rule, clause, "")


_e = re.escape

MUTANTS = (
    # ---- constants
    _removed("the constants' memory", TRUTH, rf" or {TRUTH}\{{[^}}]*\}}"),
    Mutant("timeouts a tenth longer", TRUTH, r"(\d) \* group", r"\1 * 1.1 * group"),
    Mutant("warm-ups doubled", WARMUP, r"(\d) \* group", r"\1 * 2 * group"),
    # ---- who can testify
    Mutant("own beats as old as now", AGE, r"^timestamp\(\S+\)", "time()"),
    Mutant(
        "own beats younger than they are", AGE, rf"timestamp\({_e(OWN)}\) - (\S+)", rf"\1 - timestamp({OWN})"
    ),
    Mutant("evaluation time for sample time", WITNESS, r"timestamp\((\S+)\)", r"time() + 0 * \1"),
    _removed("distrust of the gone", WITNESS, r">= time\(\) - \d+ "),
    Mutant("distrust of the slow", WITNESS, r"time\(\) - (\d+)", r"time() - \1 / 4"),
    _removed("distrust of the deaf", WITNESS, rf"{AGE} > \d+ or "),
    Mutant("own beats late too early", WITNESS, r"> (\d+) or", r"> \1 / 4 or"),
    Mutant("own beats late too late", WITNESS, r"> (\d+) or", r"> \1 * 2 or"),
    Mutant("own beats late at the limit", WITNESS, r"> (\d+) or", r">= \1 or"),
    _removed("distrust of clocks ahead, when silent", WITNESS, rf" or {AGE} < -5"),
    Mutant(
        "one deaf replica silences all", WITNESS, r"unless on \(job, instance, bus\)", "unless on (job, bus)"
    ),
    Mutant(
        "one deaf bus silences all", WITNESS, r"unless on \(job, instance, bus\)", "unless on (job, instance)"
    ),
    # ---- how far it has been observed
    Mutant("the newest scrape decides", OBSERVED, "^min by", "max by"),
    # ---- the newest beat
    Mutant("the oldest beat of all replicas", SEEN, "^max by", "min by"),
    Mutant("0 is a beat", SEEN, r"\}\s> 0 unless", "} >= 0 unless"),
    Mutant("beats on any bus", SEEN, rf'({BEATS}\{{)bus="[^"]*",', r"\1"),
    _removed("distrust of clocks that are ahead", SEEN, r" unless on \(job, instance, bus\) .*? < -5(?= or)"),
    Mutant("distrust of clocks that are right", SEEN, "< -5 or", "> -5 or"),
    Mutant("one wrong clock discredits all replicas", SEEN, r"on \(job, instance, bus\)", "on (job, bus)"),
    _removed("the memory of the newest beat", SEEN, rf" or {SEEN}\{{[^}}]*\}}"),
    Mutant("beats from the future", SEEN, r"<= time\(\) \+ 5", "<= time() + 5000"),
    Mutant("no beat but from the future", SEEN, r"<= time\(\)", ">= time()"),
    Mutant("no beat less than 5 s old", SEEN, r"time\(\) \+ 5", "time() - 5"),
    Mutant("beats of removed services", SEEN, rf'(or {SEEN}\{{svc=~")', r"\1gone|"),
    # ---- the longest watch
    Mutant("the shortest watch", WATCHED_SINCE, "^min by", "max by"),
    Mutant("a watch that is none", WATCHED_SINCE, r"\} > 0", "} >= 0"),
    Mutant(
        "a watch on any bus",
        WATCHED_SINCE,
        rf'({WATCH}\{{)bus="[^"]*",(.*? {WITNESS})\{{[^}}]*\}}',
        r"\1\2",
    ),
    _removed(
        "the watcher's testimony", WATCHED_SINCE, rf" and on \(job, instance, bus\) {WITNESS}\{{[^}}]*\}}"
    ),
    # ---- the latch
    _removed("the latch", SILENT, FIRST),
    Mutant(
        "the latch after the fresh",
        SILENT,
        rf"({FIRST[: -len(' or on (svc) ') - 4]}\)) or on \(svc\) (.*)$",
        r"\2 or on (svc) \1",
    ),
    _removed("silence", SILENT, rf"{SEEN}\{{[^}}]*\}} < {OBSERVED_NOW} - [\d.]+ or on \(svc\) "),
    _removed("the never heard", SILENT, rf" or on \(svc\) \( {WATCHED_SINCE}.*? unless .*? \)(?= \) and)"),
    # No mutant: the silent after the never heard. Whoever has a newest beat is left out of the one, and nobody
    # without is in the other, so their order is nothing that could be told.
    _removed(
        "recovery", SILENT, r" unless on \(svc\) [^()]*? > on \(svc\) max by \(svc\) \([^()]*\) \+ [\d.]+"
    ),
    Mutant("recovery without a newer beat", SILENT, r"\) \+ [\d.]+", ") - 1"),
    Mutant("recovery by another stamp of the last beat", SILENT, r"\) \+ [\d.]+", ")"),
    Mutant("recovery by none but late beats", SILENT, r"\) \+ ([\d.]+)", r") + 5 * \1"),
    Mutant("recovery by an older beat", SILENT, r"> on \(svc\)", "< on (svc)"),
    Mutant("misses of removed services", SILENT, rf'(^max by \(svc\) \( {SILENT}\{{svc=~")', r"\1gone|"),
    Mutant("missing at the timeout", SILENT, r"\} < scalar", "} <= scalar"),
    Mutant("missing before the timeout", SILENT, r"\} < scalar", "} > scalar"),
    Mutant("timeouts a tenth shorter", SILENT, r"(< \S+ - )([\d.]+)", r"\1 0.9 * \2"),
    Mutant("missing as of evaluation time", SILENT, rf"< {OBSERVED_NOW}", "< time()"),
    _removed("having watched", SILENT, rf" and on \(svc\) {WATCHED_SINCE}\S+ <= .*?(?= \)$)"),
    Mutant("warm-up not quite over at its end", SILENT, "<= scalar", "< scalar"),
    Mutant("only while in warm-up", SILENT, "<= scalar", ">= scalar"),
    Mutant("warm-ups halved", SILENT, r"(<= \S+ - )([\d.]+)", r"\1 0.5 * \2"),
    Mutant("warm-up up to evaluation time", SILENT, rf"<= {OBSERVED_NOW}", "<= time()"),
    _removed("never heard", SILENT, rf" unless on \(svc\) {SEEN}\S+(?= \) \) and)"),
    Mutant(
        "heard once, missing for ever",
        SILENT,
        rf"unless on \(svc\) ({SEEN}\S+ \) \) and)",
        r"and on (svc) \1",
    ),
    _removed(
        "distrust of verdicts from before a restart", "HeartbeatMiss", r" and timestamp\(\S+\) == time\(\)"
    ),
    Mutant("the class among the labels", "HeartbeatMiss", "^$", "x", "labels.class"),
    # ---- what is built on it
    _removed(
        "distrust of what was missing before a restart",
        MISSING,
        r" and timestamp\(\S+\) >= scalar\(\S+ - \d+",
    ),
    Mutant("always missing", MISSING, r"or on \(svc\) 0 \*", "or on (svc) 1 *"),
    _removed("not being missing", RETURNED, rf" and on \(svc\) {MISSING} == 0"),
    Mutant("returned for five minutes", RETURNED, "15m", "5m"),
    Mutant(
        "watched in its warm-up", WATCHING, r" \+ on \(svc\) group_left \(\) max by \(svc\) \([^)]*\)", ""
    ),
    Mutant("missing is not watched", "svc:heartbeat_state:code", r"2 \* svc", "1 * svc"),
    Mutant("late by the wrong sign", "HeartbeatMiss", r"^time\(\) - (.*)$", r"\1 - time()"),
    Mutant("pending first", "HeartbeatMiss", "^$", "15s", "for"),
    Mutant("lateness in whole seconds", "HeartbeatMiss", "%.1f", "%.0f", "annotations.late_sec"),
    # ---- alerts on the watching
    Mutant("alive as long as the first beat", ALIVE, "^max", "min"),
    _removed("the memory of having been alive", ALIVE, rf" or {ALIVE}"),
    Mutant("any exporter that answers is alive", ALIVE, rf" unless on \(job, instance\) {_e(OWN)}", ""),
    Mutant("alive from the future", ALIVE, r"\+ 5", "+ 5000"),
    _removed("what HealerMiss explains", WATCHED, r" unless on \(\) ALERTS\{[^}]*\}"),
    _removed(
        "what HeartbeatBusDown explains",
        WATCHED,
        rf" unless on \(svc\) \( {TRUTH} and on \(bus\) ALERTS\{{[^}}]*\}} \)",
    ),
    _removed("the memory of having been watched", WATCHED, rf"\( {WATCHED} and .*?\) \) or on \(svc\) "),
    Mutant("unwatched at once", "HeartbeatUnwatched", "^1m$", "0s", "for"),
    Mutant("unwatched after one warm-up", "HeartbeatUnwatched", r"2 \* max", "1 * max"),
    Mutant(
        "unwatched though somebody listens", "HeartbeatUnwatched", rf" unless on \(svc\) {WATCHED_SINCE}", ""
    ),
    Mutant("a bus down for one replica", "HeartbeatBusDown", "^max by", "min by"),
    _removed("doubt of a bus that a replica long gone saw up", "HeartbeatBusDown", r" and timestamp.*?- 60"),
    Mutant("a bus down that is up", "HeartbeatBusDown", "== 0", "== 1"),
    Mutant("a bus down at once", "HeartbeatBusDown", "^15s$", "0s", "for"),
    Mutant("skew one way only", "HeartbeatClockSkew", r"abs\((\S+)\)", r"\1"),
    _removed(
        "doubt of a Healer scraped long ago", "HealerMiss", rf" and timestamp\({_e(OWN)}\) >= time\(\) - 60"
    ),
    _removed(
        "doubt of an exporter scraped long ago", "HealerMiss", r" and timestamp\(up\S+\) >= time\(\) - 60"
    ),
    Mutant("Healer late at twice its time", "HealerMiss", r"max > 30", "max > 60"),
    Mutant("Healer late for a slow scrape", "HealerMiss", r" unless on \(\) .*$", ""),
    Mutant("drift only where it is told", "HeartbeatTruthDrift", r" or 2 - count.*$", ""),
    Mutant(
        "drift though the truths agree",
        "HeartbeatTruthDrift",
        r" unless on \(job, instance\) .*? == 1(?= \))",
        "",
    ),
    Mutant("a sentinel that never was", "SentinelDown", r" or count\(absent.*$", ""),
    Mutant("a Watchdog without the time", "Watchdog", r"vector\(time\(\)\)", "vector(1)"),
)
