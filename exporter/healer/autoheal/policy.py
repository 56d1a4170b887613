"""What an operator allowed in writing: the actions, the rules that choose them, and the limits on both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNOTATION = "autoheal_action"
"""The annotation by which an alert may name one of the actions that its rule allows."""

OTHER = "other"
"""Stands for every alertname that no rule spells out: names from outside must not become series."""

OWN = re.compile(r"Autoheal.*", re.DOTALL)
"""Alerts about autoheal itself: acting on them could never end."""

MAX_VALUE = 1024
"""The longest label value that is matched or handed to a command, in characters."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,127}")
"""What a label has to look like to become an argument, unless the policy says otherwise."""

_NO_ARGUMENT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORD = re.compile(r"\w+", re.ASCII)


class Kind(StrEnum):
    """How an action is carried out."""

    COMMAND = "command"
    DOCKER_RESTART = "docker-restart"
    SYSTEMCTL_RESTART = "systemctl-restart"
    WEBHOOK = "webhook"


class NotAllowedError(Exception):
    """The policy does not allow acting on an alert; the message says why, without the alert's text."""


@dataclass(frozen=True, slots=True)
class Label:
    """A placeholder: the whole argument is the value of one label."""

    name: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something that may be done. Durations are seconds.

    Attributes:
        name: How rules and annotations name it.
        kind: How it is carried out.
        argv: The command: constants and placeholders; empty for a webhook.
        url: Where a webhook is posted to; empty for commands.
        target: The label that says what is acted on, or empty: then the action has one target only.
        values: What each label has to match, whole, to become an argument or target.
        timeout: How long it may take before it is ended.
        grace: How long it has between TERM and KILL.
        env: Environment variables beside the fixed ones.
    """

    name: str
    kind: Kind
    argv: tuple[str | Label, ...] = ()
    url: str = ""
    target: str = ""
    values: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    timeout: float = 60.0
    grace: float = 5.0
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it needs, each once."""
        named = [part.name for part in self.argv if isinstance(part, Label)]
        return tuple(dict.fromkeys([*named, *([self.target] if self.target else [])]))

    def resolve(self, labels: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """Return the target and the exact command for an alert with `labels`.

        Raises:
            NotAllowedError: A label is missing, or does not look as it has to.
        """
        for name in self.labels:
            self._check(name, labels.get(name))
        argv = tuple(labels[part.name] if isinstance(part, Label) else part for part in self.argv)
        return (labels[self.target] if self.target else self.name), argv

    def _check(self, name: str, value: str | None) -> None:
        if not value:
            raise NotAllowedError(f"action {self.name} needs the label {name}, and the alert has none")
        # Whatever the policy's pattern lets through, an option or a second line is never an argument.
        safe = len(value) <= MAX_VALUE and not value.startswith("-") and not _NO_ARGUMENT.search(value)
        if not safe or not self.values.get(name, NAME).fullmatch(value):
            raise NotAllowedError(f"the label {name} does not look as action {self.name} demands")

    def shown(self) -> str:
        """Return what it does, for people; labels stand as {label}."""
        if self.kind is Kind.WEBHOOK:
            return f"POST {self.url}"
        return " ".join(f"{{{part.name}}}" if isinstance(part, Label) else part for part in self.argv)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which alerts may lead to which actions. Durations are seconds.

    Attributes:
        match: What each label has to match, whole.
        action: The action that is taken.
        allow: Further actions that the alert's annotation may name instead.
        cooldown: The least time between the starts of two attempts on one target.
        verify_for: How long the alert may take to resolve after the action.
        pending: How long something is wrong before the alert fires: that is no health.
    """

    match: Mapping[str, re.Pattern[str]]
    action: Action
    allow: tuple[Action, ...]
    cooldown: float
    verify_for: float
    pending: float = 0.0

    def applies(self, labels: Mapping[str, str]) -> bool:
        """Return whether an alert with `labels` is this rule's business."""
        return all(
            (value := labels.get(name)) is not None and len(value) <= MAX_VALUE and pattern.fullmatch(value)
            for name, pattern in self.match.items()
        )

    def choose(self, named: str | None) -> Action:
        """Return the action to take, given what the alert's annotation names (None: it names nothing).

        Raises:
            NotAllowedError: It names what the rule does not allow.
        """
        if named is None:
            return self.action
        for action in (self.action, *self.allow):
            if action.name == named:
                return action
        raise NotAllowedError(f"the annotation {ANNOTATION} names no action that the rule allows")

    @property
    def alertnames(self) -> tuple[str, ...]:
        """The alertnames that it spells out; none if its pattern is more than a list of names."""
        names = self.match["alertname"].pattern.split("|")
        return tuple(names) if all(_WORD.fullmatch(name) for name in names) else ()


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts.

    Attributes:
        first: The first wait in seconds; each further one is twice as long.
        longest: The longest in seconds.
        before_first: The first wait comes before the first attempt, and each counts from the beginning of the
            alert too, not only from the end of the last attempt.
    """

    first: float = 10.0
    longest: float = 300.0
    before_first: bool = False

    def delay(self, attempts: int) -> float:
        """Return the seconds to wait after that many attempts since the target was healthy."""
        waits = attempts + self.before_first
        if waits < 1:
            return 0.0
        # 2**64 times anything is beyond every `longest`; larger powers would only overflow.
        return min(self.longest, self.first * 2.0 ** min(waits - 1, 64))


@dataclass(frozen=True, slots=True)
class Breaker:
    """At most `actions` in `window` seconds; one more and nothing runs until an operator resets it."""

    actions: int = 5
    window: float = 3600.0


@dataclass(frozen=True)
class Policy:
    """The whole file. Durations are seconds.

    Attributes:
        actions: What may be done, by name.
        rules: Which alerts lead to it; the first that applies decides.
        backoff: The wait between attempts on one target.
        breaker: The limit on all actions together.
        concurrency: How many actions run at a time.
        ack_longest: The longest silence that an acknowledgement may create.
        kill_switch: While this file exists nothing runs; empty: beside the audit trail.
        sha256: Of the file.
    """

    actions: Mapping[str, Action]
    rules: tuple[Rule, ...]
    backoff: Backoff = Backoff()
    breaker: Breaker = Breaker()
    concurrency: int = 1
    ack_longest: float = 86_400.0
    kill_switch: str = ""
    sha256: str = ""

    def rule(self, labels: Mapping[str, str]) -> Rule | None:
        """Return the first rule that applies to an alert with `labels`, or None."""
        return next((rule for rule in self.rules if rule.applies(labels)), None)

    @cached_property
    def alertnames(self) -> tuple[str, ...]:
        """Every alertname that rules spell out, sorted, and `other`: what may become a label of a metric."""
        return (*sorted({name for rule in self.rules for name in rule.alertnames}), OTHER)

    def series(self, alertname: str) -> str:
        """Return what stands for `alertname` in metrics."""
        return alertname if alertname in self.alertnames else OTHER
