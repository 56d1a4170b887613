"""Reads autoheal.yml into a `Policy`, or says everything that is wrong with it at once."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from healer.autoheal import yamlfile
from healer.autoheal.policy import Action, Backoff, Breaker, Kind, Label, Policy, Rule
from healer.truth.blocks import DAY, Block
from healer.truth.problems import Problem, Problems, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from healer.truth.problems import Path as Path_

DEFAULT_COOLDOWN = 600.0
DEFAULT_VERIFY = 300.0
LONGEST = 7 * DAY
MAX_CONCURRENCY = 16
MAX_BREAKER = 1000

_TOP = (
    "actions", "rules", "cooldown_sec", "verify_for_sec", "backoff", "breaker", "concurrency", "ack", "kill_switch",
)  # fmt: skip
_COMMON = ("kind", "target", "values", "timeout_sec")
_RUN = (*_COMMON, "grace_sec", "env")
_KEYS = {
    Kind.COMMAND: (*_RUN, "command"),
    Kind.DOCKER_RESTART: (*_RUN, "container", "executable"),
    Kind.SYSTEMCTL_RESTART: (*_RUN, "unit", "executable"),
    Kind.WEBHOOK: (*_COMMON, "url"),
}
_BUILT_IN = {
    Kind.DOCKER_RESTART: ("/usr/bin/docker", ("restart",), "container"),
    Kind.SYSTEMCTL_RESTART: ("/usr/bin/systemctl", ("--no-ask-password", "restart"), "unit"),
}
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BRACED = re.compile(r"\{[^{}]*\}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PLACEHOLDER_HINT = "Make the placeholder an argument of its own."


class PolicyError(Exception):
    """The policy cannot be used; `problems` holds everything that was found."""

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        return "\n".join(problem.render(self.source) for problem in self.problems)


def load(path: Path, default_cooldown: float = DEFAULT_COOLDOWN) -> Policy:
    """Return the policy in the file at `path`.

    Args:
        path: The file; nobody but its owner and group may be able to write it.
        default_cooldown: Seconds between two attempts where the file says nothing.

    Raises:
        PolicyError: It cannot be read, or is wrong.
    """
    source = str(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(yamlfile.MAX_BYTES + 1)
    except OSError as error:
        found = error.strerror or str(error)
        raise PolicyError([Problem("the document", found, "a file that can be read")], source) from None
    if mode & stat.S_IWOTH:
        problem = Problem(
            "the document", "a file that anybody may write", "one that only its owner may", "Run chmod o-w."
        )
        raise PolicyError([problem], source)
    return parse(raw, source, default_cooldown)


def parse(raw: bytes, source: str = "autoheal.yml", default_cooldown: float = DEFAULT_COOLDOWN) -> Policy:
    """Return the policy that `raw` holds; see `load`.

    Raises:
        PolicyError: It is wrong.
    """
    try:
        members, places = yamlfile.read(raw)
    except yamlfile.YamlError as error:
        problem = Problem("the document", error.found, error.expected, error.hint, error.line)
        raise PolicyError([problem], source) from None
    problems = Problems(places)
    policy = _Reader(problems, default_cooldown).policy(
        Block(members, (), problems).unique(), hashlib.sha256(raw).hexdigest()
    )
    if problems.errors:
        raise PolicyError(problems.sorted(), source)
    return policy


class _Reader:
    """Reads one document, noting what is wrong and going on."""

    def __init__(self, problems: Problems, default_cooldown: float) -> None:
        self._problems = problems
        self._cooldown = default_cooldown
        self._declared: tuple[str, ...] = ()

    def policy(self, top: Block, sha256: str) -> Policy:
        """Return the policy; worth something only if nothing was noted."""
        top.only(_TOP)
        for key in ("actions", "rules"):
            if key not in top:
                self._problems.error((), f"no `{key}`", f"`{key}:`", "Nothing could ever run without.")
        actions = self._actions(top.block("actions"))
        backoff, breaker, ack = (self._block(top, key) for key in ("backoff", "breaker", "ack"))
        backoff.only(("first_sec", "max_sec", "before_first"))
        breaker.only(("actions", "window_sec"))
        ack.only(("max_sec",))
        first = _seconds(backoff, "first_sec", Backoff().first)
        longest = _seconds(backoff, "max_sec", max(first, Backoff().longest))
        if longest < first and backoff.sound:
            backoff.wrong("max_sec", f"at least first_sec ({first:g})")
        return Policy(
            actions=actions,
            rules=self._rules(top, actions),
            backoff=Backoff(first, longest, before_first=_yes(backoff, "before_first")),
            breaker=Breaker(
                _count(breaker, "actions", Breaker().actions, MAX_BREAKER),
                _seconds(breaker, "window_sec", Breaker().window),
            ),
            concurrency=_count(top, "concurrency", 1, MAX_CONCURRENCY),
            ack_longest=_seconds(ack, "max_sec", DAY),
            kill_switch=self._absolute(top, "kill_switch", "the absolute path of a file") or "",
            sha256=sha256,
        )

    @staticmethod
    def _block(parent: Block, key: str) -> Block:
        return parent.block(key, "Indent its keys under it.")

    def _actions(self, block: Block) -> dict[str, Action]:
        self._declared = tuple(block.members)
        actions = {}
        for name in block.members:
            if not name.strip() or not name.isprintable():
                block.wrong(name, "a printable name", found="a name that is not printable")
                continue
            one = self._block(block, name)
            kind = one.members.get("kind")
            if not isinstance(kind, str) or kind not in set(Kind):
                if one.sound:
                    found = None if "kind" in one else "nothing"
                    one.wrong("kind", f"one of {', '.join(Kind)}", found=found)
                continue
            actions[name] = self._action(name, Kind(kind), one)
        return actions

    def _action(self, name: str, kind: Kind, block: Block) -> Action:
        block.only(_KEYS[kind])
        argv = () if kind is Kind.WEBHOOK else self._argv(kind, block)
        used = tuple(dict.fromkeys(part.name for part in argv if isinstance(part, Label)))
        return Action(
            name=name,
            kind=kind,
            argv=argv,
            url=self._url(block) if kind is Kind.WEBHOOK else "",
            target=self._target(block, used),
            values=self._patterns(self._block(block, "values")),
            timeout=_seconds(block, "timeout_sec", 60.0, DAY),
            grace=_seconds(block, "grace_sec", 5.0, 60.0),
            env=self._env(self._block(block, "env")),
        )

    def _argv(self, kind: Kind, block: Block) -> tuple[str | Label, ...]:
        if kind in _BUILT_IN:
            default, words, key = _BUILT_IN[kind]
            executable = self._absolute(block, "executable", f"an absolute path such as {default}") or default
            part = self._part(block.at(key), block.members.get(key))
            return (executable, *words, *([part] if part is not None else []))
        given = block.members.get("command")
        expected = "a list: an absolute executable, then its arguments"
        if not isinstance(given, list) or not given:
            found = "nothing" if given is None else None
            block.wrong("command", expected, "A command line in one piece is never split.", found=found)
            return ()
        executable = given[0]
        if isinstance(executable, str) and not Path(executable).is_absolute() and executable[:1] != "{":
            self._problems.error(
                block.at("command", 0), shown(executable), "an absolute path", "PATH is never searched."
            )
        parts = (self._part(block.at("command", i), part) for i, part in enumerate(given))
        return tuple(part for part in parts if part is not None)

    def _part(self, path: Path_, value: object) -> str | Label | None:
        """Return one argument: text as it is, or a placeholder that is the whole of it."""
        if not isinstance(value, str) or not value or "\0" in value:
            hint = "Put it in quotes." if isinstance(value, (int, float, dict)) else ""
            self._problems.error(path, "nothing" if value is None else shown(value), "text", hint)
            return None
        placeholder = _PLACEHOLDER.fullmatch(value)
        if placeholder:
            if path[-1] == 0:
                self._problems.error(path, shown(value), "a constant", "No alert chooses what is executed.")
            return Label(placeholder[1])
        if _BRACED.search(value):
            self._problems.error(
                path, shown(value), "a constant, or {label} and nothing else", _PLACEHOLDER_HINT
            )
        return value

    def _target(self, block: Block, used: tuple[str, ...]) -> str:
        given = block.text("target", "the name of a label")
        if given is not None:
            if not _LABEL.fullmatch(given.value):
                block.wrong("target", "the name of a label")
            return given.value
        if len(used) > 1 and "target" not in block:
            block.wrong(
                "target",
                f"one of {', '.join(used)}",
                "Say which label names what is acted on.",
                found="nothing",
            )
        return used[0] if used else ""

    def _url(self, block: Block) -> str:
        value = block.members.get("url")
        expected = "an http:// or https:// URL"
        try:
            parts = urlsplit(value if isinstance(value, str) else "")
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not isinstance(value, str) or not good:
            block.wrong("url", expected, found="nothing" if value is None else None)
            return ""
        if _BRACED.search(value):
            block.wrong("url", "a constant", "No alert chooses where a request goes.")
        return value

    def _env(self, block: Block) -> dict[str, str]:
        env = {}
        for name, value in block.members.items():
            if not _VARIABLE.fullmatch(name) or name.startswith("HEALER_"):
                block.wrong(name, "capital letters, not beginning with HEALER_", found="this name")
            elif not isinstance(value, str) or "\0" in value:
                block.wrong(name, "text", "Put numbers in quotes.")
            elif _BRACED.search(value):
                block.wrong(name, "a constant", "No alert chooses the environment.")
            else:
                env[name] = value
        return env

    def _rules(self, top: Block, actions: dict[str, Action]) -> tuple[Rule, ...]:
        given = top.members.get("rules", [])
        if not isinstance(given, list):
            top.wrong("rules", "a list of rules", "Begin each with a dash.")
            return ()
        rules = []
        for index in range(len(given)):
            # A list has no keys of its own; its items read as the members of a block named by position.
            item = given[index]
            if not hasattr(item, "duplicates"):
                self._problems.error(top.at("rules", index), shown(item), "a rule with `match` and `action`")
                continue
            rule = self._rule(Block(item, top.at("rules", index), self._problems).unique(), top, actions)
            if rule is not None:
                rules.append(rule)
        return tuple(rules)

    def _rule(self, block: Block, top: Block, actions: dict[str, Action]) -> Rule | None:
        block.only(("match", "action", "allow", "cooldown_sec", "verify_for_sec", "pending_sec"))
        matchers = self._block(block, "match")
        if "alertname" not in matchers and matchers.sound:
            self._problems.error(
                block.at("match"), "no alertname", "alertname: …", "Every rule says which alerts it is for."
            )
        match = self._patterns(matchers)
        action = self._named(block.at("action"), block.members.get("action"), actions)
        allowed = block.members.get("allow", [])
        if not isinstance(allowed, list):
            block.wrong("allow", "a list of actions")
            allowed = []
        allow = tuple(
            found
            for i, name in enumerate(allowed)
            if (found := self._named(block.at("allow", i), name, actions))
        )
        cooldown = _seconds(top, "cooldown_sec", self._cooldown, zero=True)
        verify = _seconds(top, "verify_for_sec", DEFAULT_VERIFY)
        if action is None or "alertname" not in match:
            return None
        return Rule(
            match=match,
            action=action,
            allow=allow,
            cooldown=_seconds(block, "cooldown_sec", cooldown, zero=True),
            verify_for=_seconds(block, "verify_for_sec", verify),
            pending=_seconds(block, "pending_sec", 0.0, zero=True),
        )

    def _named(self, path: Path_, name: object, actions: dict[str, Action]) -> Action | None:
        if isinstance(name, str) and name in self._declared:
            return actions.get(name)  # none for an action that is wrong, which was said where it stands
        found = "nothing" if name is None else shown(name)
        known = ", ".join(self._declared) or "there is none"
        self._problems.error(path, found, f"an action of this file: {known}")
        return None

    def _patterns(self, block: Block) -> dict[str, re.Pattern[str]]:
        patterns = {}
        for name, value in block.members.items():
            if not _LABEL.fullmatch(name):
                block.wrong(name, "the name of a label", found="this name")
            elif not isinstance(value, str) or not value:
                block.wrong(name, "text or a regular expression", "Put numbers in quotes.")
            else:
                try:
                    patterns[name] = re.compile(value, re.ASCII | re.DOTALL)
                except (re.error, RecursionError, OverflowError):
                    block.wrong(name, "a regular expression", "It has to match the whole value.")
        return patterns

    def _absolute(self, block: Block, key: str, expected: str) -> str | None:
        given = block.text(key, expected)
        if given is None:
            return None
        if not Path(given.value).is_absolute():
            block.wrong(key, expected, "PATH is never searched." if key == "executable" else "")
        return given.value


def _seconds(block: Block, key: str, default: float, upto: float = LONGEST, *, zero: bool = False) -> float:
    # Block.seconds refuses 0, which for a cooldown means that backoff alone decides.
    if zero and block.members.get(key) == 0 and not isinstance(block.members[key], bool):
        return 0.0
    given = block.seconds(key, upto)
    return default if given is None else given.value


def _yes(block: Block, key: str) -> bool:
    value = block.members.get(key, False)
    if not isinstance(value, bool):
        block.wrong(key, "true or false")
        return False
    return value


def _count(block: Block, key: str, default: int, upto: int) -> int:
    if key not in block:
        return default
    value = block.members[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= upto:
        block.wrong(key, f"a whole number from 1 to {upto}")
        return default
    return value
