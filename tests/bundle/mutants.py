"""Faults put into the rules on purpose, one at a time: each has to be caught by the tests, or the tests prove little.

`make mutants` takes each through the scenarios, the generated tests and a sample of the worlds.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

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
WARMED_UP = "svc:heartbeat_warmed_up:bool"
UNREMEMBERED = "svc:heartbeat_unremembered:zero"
DOUBTED = "svc:heartbeat_doubted_timestamp_seconds:max"
SUSPECT = "svc:heartbeat_suspect_remembered_timestamp_seconds:max"
SUSPECT_SEEN = "svc:heartbeat_suspect_last_seen_timestamp_seconds:max"
SUSPECT_WATCH = "svc:heartbeat_suspect_watch_start_timestamp_seconds:min"
SILENT = "svc:heartbeat_silent_since_timestamp_seconds:latched"
UNWATCHED = "svc:heartbeat_unwatched_since_timestamp_seconds:latched"
ALIVE = "healer:heartbeat_alive_timestamp_seconds:max"
MISSING = "svc:heartbeat_missing:bool"
RETURNED = "svc:heartbeat_returned_timestamp_seconds"
WATCHING = "svc:heartbeat_watching:bool"
ABOUT_MISSES = frozenset(
    {
        AGE,
        WITNESS,
        OBSERVED,
        UNREMEMBERED,
        SEEN,
        DOUBTED,
        SUSPECT,
        SUSPECT_SEEN,
        SUSPECT_WATCH,
        SILENT,
        "HeartbeatMiss",
    }
)

FIRST_BRANCH = rf"max by \(svc\) \({SILENT}\) unless .*? \+ [\d.]+"
FIRST = rf"^\( {FIRST_BRANCH} or on \(svc\) "
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
        form: Which rules have it: of `few` services, of `many`, or `late` ones.
    """

    what: str
    rule: str
    find: str
    into: str
    field: str = "expr"
    form: str = "few"

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
            MutationError: The fault does not fit a rule of that name, fits one in more than one place, or changes none.
        """
        document = yaml.load(rules, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        every = [rule for group in document["groups"] for rule in group["rules"]]
        mutated = [rule for rule in every if self.rule in {rule.get("alert"), rule.get("record")}]
        if not mutated:
            raise MutationError(f"{self.what}: no rule {self.rule}")
        changed = [self._changes(rule, branches=branches) for rule in mutated]
        if not any(changed):
            raise MutationError(f"{self.what}: fits 0 places of {self.rule}.{self.field}: {mutated}")
        return json.dumps(document)

    def _changes(self, rule: dict[str, Any], *, branches: bool) -> bool:
        """Put the fault into `rule`; False if it does not fit, as with the other kind where a series has two."""
        holder, field = rule, self.field
        if "." in field:
            outer, field = field.split(".")
            holder = rule[outer]
        before = " ".join(str(holder.get(field, "")).split())
        after, count = re.subn(self.find, self.into, before)
        if count > 1 and not branches:
            raise MutationError(f"{self.what}: fits {count} places of {self.rule}.{self.field}: {before}")
        holder[field] = after
        return after != before


def _removed(what: str, rule: str, clause: str, form: str = "few") -> Mutant:
    return Mutant(f"without {what}", rule, clause, "", form=form)


_e = re.escape

MUTANTS = (
    # ---- constants
    _removed("the constants' memory", TRUTH, rf"\|{TRUTH}"),
    Mutant("timeouts a tenth longer", TRUTH, r"(\d) \* group", r"\1 * 1.1 * group"),
    Mutant("warm-ups doubled", WARMUP, r"(\d) \* group", r"\1 * 2 * group"),
    # ---- who can testify
    Mutant("own beats as old as now", AGE, r"^timestamp\(\S+\)", "time()"),
    Mutant(
        "own beats younger than they are", AGE, rf"timestamp\({_e(OWN)}\) - (\S+)", rf"\1 - timestamp({OWN})"
    ),
    Mutant(
        "evaluation time for sample time",
        WITNESS,
        r"timestamp\( ?(\S+?) ?\) or timestamp\( ?(\S+?) ?\)(?= \))",
        r"(time() + 0 * \1) or (time() + 0 * \2)",
    ),
    _removed("exporters that do not show their buses", WITNESS, rf" or timestamp\( ?{WATCH}\S+ ?\)(?= \))"),
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
    # ---- the newest beat, remembered
    Mutant("the oldest beat of all replicas, remembered", SEEN, "^max by", "min by"),
    Mutant("beats on any bus, remembered", SEEN, rf'({BEATS}\{{)bus="[^"]*",', r"\1"),
    _removed(
        "distrust of clocks that are ahead, remembered",
        SEEN,
        r" unless on \(job, instance, bus\) .*? < -5(?= or)",
    ),
    Mutant("distrust of clocks that are right, remembered", SEEN, "< -5 or", "> -5 or"),
    Mutant(
        "one wrong clock discredits the memory of all", SEEN, r"on \(job, instance, bus\)", "on (job, bus)"
    ),
    _removed("the memory of the newest beat", SEEN, rf"{SEEN}\|"),
    _removed("those whom nobody is believed about", SEEN, rf"\|{UNREMEMBERED}"),
    Mutant("what is not believed is a beat", UNREMEMBERED, r"^0 \*", "9 *"),
    Mutant("the remembered are the unremembered", UNREMEMBERED, "unless on", "and on"),
    Mutant("beats from the future, remembered", SEEN, r"<= time\(\) \+ 5", "<= time() + 5000"),
    Mutant("no beat but from the future, remembered", SEEN, r"<= time\(\)", ">= time()"),
    Mutant("beats of removed services", SEEN, r'(or \{__name__=\S+?,svc=~")', r"\1gone|"),
    Mutant("the beats of one scrape alone", SEEN, r"max_over_time\( ?(\S+)\[\w+\] ?\)", r"(\1)", form="many"),
    Mutant(
        "trust in a clock that was ahead in between",
        SEEN,
        r"min_over_time\( ?(\S+)\[\w+\] ?\)",
        r"(\1)",
        form="many",
    ),
    # ---- who is doubted
    # No mutant: everybody, always. It would be slower, and nothing else.
    Mutant("all but the missing are doubted", DOUBTED, r" and on", " unless on"),
    # ---- suspects
    # No mutant: the least of what makes one. It is one, and what is shown of it counts.
    Mutant("nobody suspected for an old beat", SUSPECT, r"<= scalar", "<= 0 * scalar"),
    Mutant("suspected too late", SUSPECT, r" - ([\d.]+)", r" - 2 * \1"),
    Mutant("in 1970 never is not long ago", SUSPECT, r"clamp_min\( ?(.*?), 0 ?\)", r"\1"),
    Mutant("suspected for new beats", SUSPECT, r"<= scalar", ">= scalar"),
    Mutant("suspected by others' timeouts", SUSPECT, r'\{class="[\w-]+"\} <=', " <="),
    _removed("suspicion of the doubted", SUSPECT, rf" or {DOUBTED}\S+"),
    # Of few, these are doubted too by the same evaluation.
    _removed("suspicion of who was missing just now", SUSPECT, rf" or 0 \* {SILENT}\S+", form="late"),
    # ---- their newest beat, remembered or shown
    Mutant("the oldest beat of all replicas", SUSPECT_SEEN, "^max by", "min by"),
    Mutant("beats on any bus", SUSPECT_SEEN, rf'({BEATS}\{{)bus="[^"]*",', r"\1"),
    _removed(
        "distrust of clocks that are ahead",
        SUSPECT_SEEN,
        r" unless on \(job, instance, bus\) .*? < -5(?= or)",
    ),
    Mutant("distrust of clocks that are right", SUSPECT_SEEN, "< -5 or", "> -5 or"),
    # What is remembered of few is of the same evaluation, and leaves nothing to show.
    Mutant(
        "one wrong clock discredits all replicas",
        SUSPECT_SEEN,
        r"on \(job, instance, bus\)",
        "on (job, bus)",
        form="many",
    ),
    _removed("the memory", SUSPECT_SEEN, rf" or {SUSPECT}\S+(?= \)$)"),
    _removed("what is shown", SUSPECT_SEEN, rf"(?<=^max by \(svc\) \( ).* or (?={SUSPECT})", form="many"),
    Mutant("beats from the future", SUSPECT_SEEN, r"<= time\(\) \+ 5", "<= time() + 5000"),
    Mutant("no beat but from the future", SUSPECT_SEEN, r"<= time\(\)", ">= time()"),
    Mutant("no beat less than 5 s old", SUSPECT_SEEN, r"time\(\) \+ 5", "time() - 5", form="many"),
    # ---- their longest watch
    Mutant("the shortest watch", SUSPECT_WATCH, "^min by", "max by"),
    Mutant("a watch that is none", SUSPECT_WATCH, r"\) > 0", ") >= 0"),
    Mutant(
        "a watch on any bus",
        SUSPECT_WATCH,
        rf'({WATCH}\{{)bus="[^"]*",(.*? {WITNESS})\{{[^}}]*\}}',
        r"\1\2",
    ),
    _removed(
        "the watcher's testimony", SUSPECT_WATCH, rf" and on \(job, instance, bus\) {WITNESS}\{{[^}}]*\}}"
    ),
    # ---- the latch
    Mutant("never heard since 1970", SILENT, r"> 0 < scalar", ">= 0 < scalar"),
    Mutant("without the latch", SILENT, FIRST, "( "),
    Mutant(
        "the latch after the fresh",
        SILENT,
        rf"^\( ({FIRST_BRANCH}) or on \(svc\) (\( \( .* \) \)) \) and on",
        r"( \2 or on (svc) \1 ) and on",
    ),
    Mutant(
        "without silence", SILENT, rf"\( {SUSPECT_SEEN}\S+ > 0 < {OBSERVED_NOW} - [\d.]+ or on \(svc\) ", "( "
    ),
    _removed("the never heard", SILENT, rf" or on \(svc\) \( {SUSPECT_WATCH}\S+ unless .*? > 0 \)"),
    # No mutant: the silent after the never heard. Whoever has a newest beat is left out of the one, and nobody
    # without is in the other, so their order is nothing that could be told.
    _removed(
        "recovery", SILENT, r" unless on \(svc\) [^()]*? > on \(svc\) max by \(svc\) \([^()]*\) \+ [\d.]+"
    ),
    Mutant("recovery without a newer beat", SILENT, r"\) \+ [\d.]+", ") - 1"),
    Mutant("recovery by another stamp of the last beat", SILENT, r"\) \+ [\d.]+", ")"),
    Mutant("recovery by none but late beats", SILENT, r"\) \+ ([\d.]+)", r") + 5 * \1"),
    Mutant("recovery by an older beat", SILENT, r"> on \(svc\)", "< on (svc)"),
    Mutant("missing at the timeout", SILENT, r"> 0 < scalar", "> 0 <= scalar"),
    Mutant("missing before the timeout", SILENT, r"> 0 < scalar", "> 0 > scalar"),
    Mutant("timeouts a tenth shorter", SILENT, r"(> 0 < \S+ - )([\d.]+)", r"\1 0.9 * \2"),
    Mutant("timeouts a tenth longer than told", SILENT, r"(> 0 < \S+ - )([\d.]+)", r"\1 1.1 * \2"),
    Mutant("missing as of evaluation time", SILENT, rf"> 0 < {OBSERVED_NOW}", "> 0 < time()"),
    _removed("having watched", SILENT, rf" and on \(svc\) \( {SUSPECT_WATCH}\S+ <= .*? == time\(\) \)"),
    Mutant("warm-up not quite over at its end", SILENT, "<= scalar", "< scalar"),
    Mutant("only while in warm-up", SILENT, "<= scalar", ">= scalar"),
    Mutant("warm-ups halved", SILENT, r"(<= \S+ - )([\d.]+)", r"\1 0.5 * \2"),
    Mutant("warm-up up to evaluation time", SILENT, rf"<= {OBSERVED_NOW}", "<= time()"),
    _removed("never heard", SILENT, rf" unless on \(svc\) {SUSPECT_SEEN}\S+ > 0(?= \) \) and)"),
    Mutant(
        "heard once, missing for ever",
        SILENT,
        rf"unless on \(svc\) ({SUSPECT_SEEN}\S+ > 0 \) \) and)",
        r"and on (svc) \1",
    ),
    _removed(
        "distrust of a watch from before a restart",
        SILENT,
        rf" and timestamp\({SUSPECT_WATCH}\) == time\(\)",
    ),
    Mutant(
        "trust in a suspicion from before a restart",
        SILENT,
        rf"timestamp\( ?({SUSPECT}\S+?) ?\) == time\(\)",
        r"\1",
    ),
    # ---- an older truth
    Mutant(
        "a new truth forgets who is missing",
        SILENT,
        rf"^{SILENT} unless",
        f'{SILENT}{{class="none"}} unless',
        form="late",
    ),
    _removed("an end of what an older truth said", SILENT, r" unless on \(\) timestamp.*$", form="late"),
    _removed(
        "doubt of what an older truth said long ago",
        SILENT,
        rf" and timestamp\({SILENT}\) >= time\(\) - \d+",
        form="late",
    ),
    _removed(
        "doubt of what this truth wrote long ago",
        "healer:heartbeat_memory_seen_timestamp_seconds",
        r" >= time\(\) - \d+",
        form="late",
    ),
    Mutant(
        "trust in what was seen before a restart",
        SILENT,
        r"timestamp\( ?(healer\S+) ?\) == time\(\)",
        r"\1",
        form="late",
    ),
    Mutant(
        "no alert by an older truth",
        "HeartbeatMiss",
        rf"1, ({SILENT}) and",
        r'1, \1{class!~"[01]"} and',
        form="late",
    ),
    Mutant("alerts by each older truth", "HeartbeatMiss", r"topk by \(svc\) \( ?1,", "(", form="late"),
    # ---- the alert
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
    _removed("the warm-up", WARMED_UP, r" - [\d.]+"),
    _removed("having warmed up", WATCHING, " == 1"),
    Mutant("missing is not watched", "svc:heartbeat_state:code", r"2 \* \(", "1 * ("),
    Mutant("late by the wrong sign", "HeartbeatMiss", r"^time\(\) - (.*)$", r"\1 - time()"),
    Mutant("pending first", "HeartbeatMiss", "^$", "15s", "for"),
    Mutant("lateness in whole seconds", "HeartbeatMiss", "%.1f", "%.0f", "annotations.late_sec"),
    # ---- alerts on the watching
    Mutant("alive as long as the first beat", ALIVE, "^max", "min"),
    _removed("the memory of having been alive", ALIVE, rf" or {ALIVE}"),
    Mutant("any exporter that answers is alive", ALIVE, rf" unless on \(job, instance\) {_e(OWN)}", ""),
    Mutant("alive from the future", ALIVE, r"\+ 5", "+ 5000"),
    _removed("what HealerMiss explains", UNWATCHED, r" unless on \(\) ALERTS\{[^}]*\}"),
    _removed(
        "what HeartbeatBusDown explains",
        UNWATCHED,
        rf" unless on \(svc\) \( {TRUTH} and on \(bus\) ALERTS\{{[^}}]*\}} \)",
    ),
    _removed("doubt of what was before a long stop", UNWATCHED, r" and timestamp\(\S+?\) >= time\(\) - \d+"),
    _removed("the memory of since when", UNWATCHED, rf"{UNWATCHED} and .*? or on \(svc\) "),
    _removed(
        "distrust of since when, from before a restart",
        "HeartbeatUnwatched",
        r" and on \(svc\) timestamp\(.*$",
    ),
    Mutant("unwatched at once", "HeartbeatUnwatched", "^1m$", "0s", "for"),
    Mutant("unwatched after one warm-up", "HeartbeatUnwatched", r"2 \* max", "1 * max"),
    Mutant("unwatched though somebody listens", "HeartbeatUnwatched", rf" unless on \(svc\) {WARMED_UP}", ""),
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
