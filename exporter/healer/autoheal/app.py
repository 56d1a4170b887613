"""Wires the autoheal process together: webhooks in, gates, actions, everything on record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from healer.autoheal import routes
from healer.autoheal.access import Access
from healer.autoheal.ack import Ack
from healer.autoheal.console import Console
from healer.autoheal.dispatch import Dispatcher
from healer.autoheal.execute import Executor
from healer.autoheal.journal import Journal, JournalError
from healer.autoheal.metrics import Counts, StateCollector
from healer.autoheal.policyfile import PolicyError, load
from healer.autoheal.record import Recorder
from healer.autoheal.recovery import needed
from healer.autoheal.scope import ScopeError
from healer.autoheal.scope import find as find_scopes
from healer.autoheal.settings import Settings, SettingsError
from healer.autoheal.status import Status
from healer.autoheal.trail import Trail
from healer.runtime import daemon
from healer.runtime.clock import Anchor, SystemClock
from healer.web.config import load as load_web_config
from healer.web.face import Face, application, process_registry
from healer.web.listen import Address, serving
from healer.web.tokens import TokenError, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from prometheus_client import CollectorRegistry


class StartError(Exception):
    """Autoheal refuses to start; the message says all that is wrong and what to do."""


class Autoheal:
    """One process's parts."""

    def __init__(self, config: Path, env: Mapping[str, str]) -> None:
        """Read everything that autoheal needs, and take up its record.

        Raises:
            StartError: Something of it cannot be used.
        """
        try:
            self.settings = settings = Settings.from_env(env)
            policy = load(config, settings.cooldown)
            self.scopes = find_scopes(settings.cgroup)
            self._tokens = None if settings.token_file is None else Tokens(settings.token_file)
            self._journal = Journal(settings.audit_path, needed)
            self._events = self._journal.open()
        except (SettingsError, PolicyError, ScopeError, TokenError, JournalError) as error:
            raise StartError(str(error)) from None
        self._config = config
        self._log = structlog.get_logger(component="autoheal")
        clock = SystemClock()
        anchor = Anchor(clock)
        self.registry = process_registry()
        self.trail = Trail()
        self.counts = Counts(self.registry, policy)
        self.recorder = Recorder(self._journal, self.trail, self.counts, anchor)
        executor = Executor(settings.audit_path.parent / "output", self.scopes)
        self.dispatcher = Dispatcher(settings, policy, self.recorder, executor, clock=clock, anchor=anchor)
        self.status = Status(self.dispatcher, self.recorder, settings, clock, anchor)
        self.clock = clock
        self.access = Access(self._tokens)
        _measure(self, self._journal)

    async def recover(self) -> None:
        """Go on where the record ends.

        Raises:
            JournalError: It cannot be written.
        """
        events, self._events = self._events, []
        self.trail.load(events)
        self.counts.recall(events)
        await self.dispatcher.recover(events)

    async def reload(self) -> str | None:
        """Read the policy and the tokens anew; return None, or why the old ones stay."""
        try:
            policy = await asyncio.to_thread(load, self._config, self.settings.cooldown)
            if self._tokens is not None:
                self._tokens.reload()
        except (PolicyError, TokenError) as error:
            self._log.error("reload refused, policy and tokens stay", reason=str(error))
            return str(error)
        self.counts.adopt(policy)
        await self.dispatcher.adopt(policy)
        self._log.info("policy adopted", rules=len(policy.rules), sha256=policy.sha256[:12])
        return None

    def ready(self) -> str | None:
        """Return why nothing could be done, or None."""
        return self.recorder.fault

    def close(self) -> None:
        """Let go of the record."""
        self._journal.close()


async def run(listen: Address, config: Path, env: Mapping[str, str], web_config: Path | None = None) -> int:
    """Run autoheal until a signal; return the exit status.

    Args:
        listen: Where to serve.
        config: The policy file.
        env: The environment variables.
        web_config: The file with TLS and headers; None for plain HTTP.

    Raises:
        StartError: Something that it needs cannot be used.
        ListenError: `listen` cannot be listened on.
        WebConfigError: `web_config` cannot be used.
    """
    log = structlog.get_logger(component="autoheal")
    if env.get("AUTOHEAL_TOKEN_FILE") and web_config is not None and load_web_config(web_config).users:
        raise StartError(
            f"{web_config}: basic_auth_users and AUTOHEAL_TOKEN_FILE cannot both be asked for in one request."
            " Remove the users: a browser logs in with a token's name, and the token as password."
        )
    parts = Autoheal(config, env)
    try:
        app = application(_face(parts), max_body=routes.MAX_BODY)
        console = Console(parts.access)
        console.serve_on(app)
        resources = routes.Routes(parts.dispatcher, parts.trail, parts.access, parts.counts, parts.clock)
        resources.serve_on(app)
        ack = Ack(
            parts.dispatcher,
            parts.recorder,
            parts.access,
            parts.settings.alertmanager,
            style=console.style,
            icon=console.icon,
        )
        ack.serve_on(app)
        parts.access.protect(app)
        await parts.recover()
        async with serving(app, listen, web_config) as url:
            mode = "live" if parts.settings.live else "dry run" if parts.settings.enabled else "disabled"
            cgroup = "systemd" if parts.scopes else "none"
            log.info("serving", url=url, mode=mode, cgroup=cgroup, audit=str(parts.settings.audit_path))
            return await daemon.run(
                {"dispatcher": parts.dispatcher.run}, hangup=parts.reload, alive=parts.dispatcher.alive
            )
    except JournalError as error:
        raise StartError(str(error)) from None
    finally:
        parts.close()


def _face(parts: Autoheal) -> Face:
    async def home(_: web.Request) -> web.StreamResponse:
        return web.json_response(parts.status.show())

    return Face(
        title="Healer autoheal",
        about="Acts on alerts as its policy allows, and keeps a record of everything.",
        registry=parts.registry,
        ready=parts.ready,
        reload=parts.reload,
        home=home,
    )


def _measure(parts: Autoheal, journal: Journal) -> None:
    """Show what is the case as gauges."""
    dispatcher, settings, status = parts.dispatcher, parts.settings, parts.status
    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "autoheal_enabled": ("AUTOHEAL_ENABLED: 0 is off.", lambda: float(settings.enabled)),
        "autoheal_dry_run": ("AUTOHEAL_DRY_RUN.", lambda: float(settings.dry_run)),
        "autoheal_kill_switch": (
            "1 while the kill switch stops everything.",
            lambda: float(dispatcher.switches().killed),
        ),
        "autoheal_breaker_open": (
            "1 while the breaker stops everything, until it is reset.",
            lambda: float(dispatcher.gates.open_since is not None),
        ),
        "autoheal_state_writable": (
            "0 while the record cannot be written, and nothing runs.",
            lambda: float(parts.recorder.fault is None),
        ),
        "autoheal_last_event_timestamp": (
            "When the newest event went on record (epoch seconds); a self-test makes one every 5 minutes.",
            lambda: journal.last,
        ),
        "autoheal_queue_length": ("Actions that wait.", lambda: float(len(dispatcher.waiting))),
        "autoheal_actions_running": ("Actions that run.", lambda: float(len(dispatcher.gates.running))),
        "autoheal_watchdog_age_seconds": (
            "Since a Watchdog was last received; -1 before the first.",
            lambda: -1.0 if (age := status.watchdog_age()) is None else age,
        ),
    }
    registry: CollectorRegistry = parts.registry
    registry.register(StateCollector(gauges, status.cooldowns))
