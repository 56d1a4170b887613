"""Faults put into the rules on purpose, one at a time: each has to be caught by the tests, or the tests prove little.

`make mutants` takes each through the scenarios, the generated tests and a sample of the worlds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import yaml

WATCH = 'heartbeat_watch_start_timestamp_seconds{job="heartbeat"}'
OWN = 'heartbeat_bus_loopback_timestamp_seconds{job="heartbeat"}'
TRUTH = "svc:heartbeat_timeout_seconds:truth"
WARMUP = "svc:heartbeat_warmup_seconds:truth"
SEEN = "svc:heartbeat_last_seen_timestamp_seconds:max"
WATCHED_SINCE = "svc:heartbeat_watch_start_timestamp_seconds:min"
OBSERVED = "svc:heartbeat_observed_timestamp_seconds:min"
SILENT = "svc:heartbeat_silent_since_timestamp_seconds:latched"
WATCHED = "svc:heartbeat_watched_timestamp_seconds:max"
ALIVE = "healer:heartbeat_alive_timestamp_seconds:max"
MISSING = "svc:heartbeat_missing:bool"
WATCHING = "svc:heartbeat_watching:bool"
ABOUT_MISSES = frozenset({TRUTH, WARMUP, SEEN, WATCHED_SINCE, OBSERVED, SILENT, "HeartbeatMiss"})

FIRST = rf"^\( {SILENT} and on \(svc\) {TRUTH} unless on \(svc\) {SEEN} > on \(svc\) {SILENT} \)"
SECOND = rf"{SEEN} < on \(svc\) \({OBSERVED} - on \(svc\) {TRUTH}\)"
THIRD = rf"\( {WATCHED_SINCE} and on \(svc\) {OBSERVED} unless on \(svc\) {SEEN} \)$"


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
    Mutant("timeouts a tenth shorter", TRUTH, r"(\d) \* group", r"\1 * 0.9 * group"),
    Mutant("warm-ups doubled", WARMUP, r"(\d) \* group", r"\1 * 2 * group"),
    Mutant("warm-ups halved", WARMUP, r"(\d) \* group", r"\1 / 2 * group"),
    # ---- the newest beat
    Mutant("the oldest beat of all replicas", SEEN, "^max by", "min by"),
    Mutant("0 is a beat", SEEN, r'(\{job="heartbeat"\}) > 0 and', r"\1 >= 0 and"),
    _removed("the bus a beat came on", SEEN, rf" and on \(svc, bus\) {TRUTH}"),
    Mutant("beats on any bus", SEEN, r"and on \(svc, bus\)", "and on (svc)"),
    _removed(
        "distrust of clocks that are ahead",
        SEEN,
        r" unless on \(job, instance, bus\) .*? > 5(?= or)",
    ),
    Mutant("distrust of clocks that are right", SEEN, "> 5 or", "< 5 or"),
    Mutant("one wrong clock discredits all replicas", SEEN, r"on \(job, instance, bus\)", "on (job, bus)"),
    _removed("the memory of the newest beat", SEEN, rf" or {SEEN}"),
    Mutant("beats from the future", SEEN, r"<= time\(\) \+ 5", "<= time() + 5000"),
    Mutant("no beat but from the future", SEEN, r"<= time\(\)", ">= time()"),
    Mutant("no beat less than 5 s old", SEEN, r"time\(\) \+ 5", "time() - 5"),
    _removed("forgetting beats of removed services", SEEN, rf" and on \(svc\) {TRUTH}$"),
    # ---- the longest watch
    Mutant("the shortest watch", WATCHED_SINCE, "^min by", "max by"),
    Mutant("a watch that is none", WATCHED_SINCE, "> 0", ">= 0"),
    _removed("the bus that is watched", WATCHED_SINCE, rf" and on \(svc, bus\) {TRUTH}"),
    # ---- how far it has been observed
    Mutant("the newest scrape decides", OBSERVED, "^min by", "max by"),
    Mutant(
        "evaluation time for sample time",
        OBSERVED,
        rf"timestamp\({_e(WATCH)}\) and",
        f"(time() + 0 * {WATCH}) and",
    ),
    Mutant("warm-up up to evaluation time", OBSERVED, rf"and timestamp\({_e(WATCH)}\)", "and time()"),
    Mutant("warm-up not quite over at its end", OBSERVED, ">= on", "> on"),
    Mutant("only while in warm-up", OBSERVED, ">= on", "<= on"),
    _removed("warm-up", OBSERVED, rf" and timestamp\({_e(WATCH)}\) - .*?{WARMUP}"),
    Mutant("a replica that does not listen", OBSERVED, r'"heartbeat"\} > 0\)', '"heartbeat"} >= 0)'),
    Mutant("a watch on any bus", OBSERVED, r">= on \(svc, bus\)", ">= on (svc)"),
    Mutant("the timeout for the warm-up", OBSERVED, WARMUP, TRUTH),
    _removed("distrust of the deaf", OBSERVED, rf"timestamp\({_e(OWN)}\) - {_e(OWN)} > \d+ or "),
    Mutant("own beats late too early", OBSERVED, r"> (\d+) or", r"> \1 / 4 or"),
    Mutant("own beats late too late", OBSERVED, r"> (\d+) or", r"> \1 * 2 or"),
    Mutant("own beats late at the limit", OBSERVED, r"> (\d+) or", r">= \1 or"),
    _removed(
        "distrust of clocks ahead, when silent",
        OBSERVED,
        r" or heartbeat_bus_loopback\S+ - timestamp\(\S+\) > 5",
    ),
    Mutant(
        "one deaf replica silences all", OBSERVED, r"unless on \(job, instance, bus\)", "unless on (job, bus)"
    ),
    Mutant(
        "one deaf bus silences all",
        OBSERVED,
        r"unless on \(job, instance, bus\)",
        "unless on (job, instance)",
    ),
    # ---- the latch
    Mutant("without the latch", SILENT, rf"{FIRST} or on \(svc\) ", ""),
    Mutant("the latch after the fresh", SILENT, rf"({FIRST}) or on \(svc\) (.*)$", r"\2 or on (svc) \1"),
    Mutant("without silence", SILENT, rf" or on \(svc\) {SECOND}", ""),
    Mutant("without the never heard", SILENT, rf" or on \(svc\) {THIRD}", ""),
    # No mutant: the silent after the never heard. Whoever has a newest beat is left out of the one, and nobody
    # without is in the other, so their order is nothing that could be told.
    _removed("recovery", SILENT, rf" unless on \(svc\) {SEEN} > on \(svc\) {SILENT}"),
    Mutant("recovery without a newer beat", SILENT, rf"{SEEN} > on", f"{SEEN} >= on"),
    Mutant("recovery by an older beat", SILENT, rf"{SEEN} > on", f"{SEEN} < on"),
    _removed("forgetting misses of removed services", SILENT, rf" and on \(svc\) {TRUTH}(?= unless)"),
    Mutant("missing at the timeout", SILENT, rf"{SEEN} < on", f"{SEEN} <= on"),
    Mutant("missing before the timeout", SILENT, rf"{SEEN} < on", f"{SEEN} > on"),
    Mutant("missing after the warm-up's time", SILENT, rf"- on \(svc\) {TRUTH}", f"- on (svc) {WARMUP}"),
    Mutant("missing as of evaluation time", SILENT, rf"\({OBSERVED} - on", f"(time() + 0 * {OBSERVED} - on"),
    _removed("having watched, for the never heard", SILENT, rf" and on \(svc\) {OBSERVED}"),
    _removed("never heard", SILENT, rf" unless on \(svc\) {SEEN}(?= \)$)"),
    Mutant(
        "heard once, missing for ever", SILENT, rf"unless on \(svc\) {SEEN} \)$", f"and on (svc) {SEEN} )"
    ),
    # ---- what is built on it
    Mutant("always missing", MISSING, r"or on \(svc\) 0 \*", "or on (svc) 1 *"),
    Mutant("watched in its warm-up", WATCHING, OBSERVED, WATCHED_SINCE),
    Mutant("missing is not watched", "svc:heartbeat_state:code", r"2 \* svc", "1 * svc"),
    Mutant("late by the wrong sign", "HeartbeatMiss", rf"\(time\(\) - {SILENT}\)", f"({SILENT} - time())"),
    Mutant("without its team", "HeartbeatMiss", ", severity, team", ", severity"),
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
    Mutant("unwatched after one warm-up", "HeartbeatUnwatched", r"2 \* svc", "1 * svc"),
    Mutant(
        "unwatched though somebody listens", "HeartbeatUnwatched", rf" unless on \(svc\) {WATCHED_SINCE}", ""
    ),
    Mutant("a bus down for one replica", "HeartbeatBusDown", "^max by", "min by"),
    Mutant("a bus down that is up", "HeartbeatBusDown", "== 0", "== 1"),
    Mutant("a bus down at once", "HeartbeatBusDown", "^15s$", "0s", "for"),
    Mutant("skew one way only", "HeartbeatClockSkew", r"abs\((\S+)\)", r"\1"),
    Mutant("Healer late at twice its time", "HealerMiss", "> 30", "> 60"),
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
