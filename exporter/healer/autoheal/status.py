"""What autoheal shows of itself: switches, what it may do, and how each gate stands for each target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from healer.autoheal.dispatch import Dispatcher
    from healer.autoheal.record import Recorder
    from healer.autoheal.settings import Settings
    from healer.runtime.clock import Anchor, Clock

MOST_TARGETS = 200


class Status:
    """The state of one dispatcher."""

    def __init__(
        self, dispatcher: Dispatcher, recorder: Recorder, settings: Settings, clock: Clock, anchor: Anchor
    ) -> None:
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._settings = settings
        self._clock = clock
        self._anchor = anchor

    def show(self) -> dict[str, Any]:
        """Return the state as it is shown at `/`."""
        dispatcher, gates = self._dispatcher, self._dispatcher.gates
        switches, policy, now = dispatcher.switches(), dispatcher.policy, self._clock.monotonic()
        opened = None if gates.open_since is None else round(self._anchor.epoch(gates.open_since), 3)
        return {
            "status": "ok" if switches.sound else "fault",
            "enabled": switches.enabled,
            "dry_run": switches.dry_run,
            "fault": self._recorder.fault,
            "kill_switch": {"on": switches.killed, "file": str(dispatcher.kill_switch)},
            "breaker": {
                "open": opened is not None,
                "open_since": opened,
                "actions": policy.breaker.actions,
                "window_sec": policy.breaker.window,
            },
            "queue": len(dispatcher.waiting),
            "waiting": [
                {
                    "action": request.key.action,
                    "target": request.key.target,
                    "alertname": request.alertname,
                    "backoff_sec": round(gates.left(request, now), 1),
                }
                for request in dispatcher.waiting
            ],
            "running": len(gates.running),
            "watchdog_age_sec": self.watchdog_age(),
            "actions": {name: action.shown() for name, action in policy.actions.items()},
            "rules": [
                {
                    "match": {name: pattern.pattern for name, pattern in rule.match.items()},
                    "action": rule.action.name,
                    "allow": [action.name for action in rule.allow],
                    "cooldown_sec": rule.cooldown,
                    "verify_for_sec": rule.verify_for,
                    "pending_sec": rule.pending,
                }
                for rule in policy.rules
            ],
            "targets": self.targets(now),
            "policy_sha256": policy.sha256,
            "audit": str(self._settings.audit_path),
            "public_url": self._settings.public_url,
            "now": round(self._anchor.now(), 3),
        }

    def targets(self, now: float) -> list[dict[str, Any]]:
        """Return how the gates stand for each target that was acted on, the newest first."""
        gates = self._dispatcher.gates
        newest = sorted(gates.past.items(), key=lambda item: item[1].started or 0.0, reverse=True)
        return [
            {
                "action": key.action,
                "target": key.target,
                "alertname": past.alertname,
                "last_start": round(self._anchor.epoch(past.started or 0.0), 3),
                "in_flight": key in gates.held,
                "cooldown_sec": round(gates.cooldown(past, now), 1),
                "backoff_sec": round(gates.wait(past, past.attempts, now), 1),
                "attempts": past.attempts,
                "healthy": past.healthy is not None,
                "verifying": past.verify_until is not None,
            }
            for key, past in newest[:MOST_TARGETS]
        ]

    def watchdog_age(self) -> float | None:
        """Return the seconds since a Watchdog was received, or None before the first."""
        heard = self._dispatcher.watchdog
        return None if heard is None else round(self._clock.monotonic() - heard, 1)

    def cooldowns(self) -> dict[str, float]:
        """Return the seconds left of the longest cooldown of each alertname of the policy."""
        policy, gates, now = self._dispatcher.policy, self._dispatcher.gates, self._clock.monotonic()
        left = dict.fromkeys(policy.alertnames, 0.0)
        for past in gates.past.values():
            name = policy.series(past.alertname)
            left[name] = max(left[name], gates.cooldown(past, now))
        return left
