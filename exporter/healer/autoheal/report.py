"""What `healer autoheal --check` says: everything that is wrong with a policy, or what it allows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from healer.autoheal.policyfile import DEFAULT_COOLDOWN, PolicyError, load

if TYPE_CHECKING:
    from pathlib import Path

    from healer.autoheal.policy import Policy


def check(
    path: Path, cooldown: float = DEFAULT_COOLDOWN, *, out: TextIO = sys.stdout, err: TextIO = sys.stderr
) -> int:
    """Say what the policy at `path` allows, or what is wrong with it; return the exit status.

    Args:
        path: The file.
        cooldown: Seconds between two attempts where the file says nothing.
        out: For what it allows.
        err: For what is wrong.
    """
    try:
        policy = load(path, cooldown)
    except PolicyError as error:
        print(error, file=err)
        count = len(error.problems)
        print(f"{path}: {count} error{'s' if count != 1 else ''}; nothing would run", file=err)
        return 1
    print(*describe(policy), sep="\n", file=out)
    return 0


def describe(policy: Policy) -> list[str]:
    """Return what `policy` allows, as lines for people."""
    lines = []
    for rule in policy.rules:
        match = ", ".join(f"{name}=~{pattern.pattern}" for name, pattern in rule.match.items())
        lines.append(f"{match}")
        for word, action in [("does", rule.action), *(("or, if named,", other) for other in rule.allow)]:
            target = f"{{{action.target}}}" if action.target else "one target"
            values = "".join(f"; {{{name}}} =~ {value.pattern}" for name, value in action.values.items())
            lines.append(
                f"  {word} {action.name}: {action.shown()} (on {target}, {action.timeout:g} s{values})"
            )
        pending = f", fires after {rule.pending:g} s" if rule.pending else ""
        lines.append(f"  cooldown {rule.cooldown:g} s, has to resolve within {rule.verify_for:g} s{pending}")
    unused = set(policy.actions) - {a.name for rule in policy.rules for a in (rule.action, *rule.allow)}
    lines += [f"no rule leads to action {name}" for name in sorted(unused)]
    backoff, breaker = policy.backoff, policy.breaker
    first = ", before the first attempt too" if backoff.before_first else ""
    lines.append(
        f"backoff {backoff.first:g} s doubling to {backoff.longest:g} s{first}; breaker at {breaker.actions} actions"
        f" in {breaker.window:g} s; {policy.concurrency} at a time; silences up to {policy.ack_longest:g} s"
    )
    return lines
