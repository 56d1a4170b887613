"""Takes alerts in, has the gates decide, runs what passes, and puts every step on record before the next."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING

import msgspec
import structlog

from healer import __version__
from healer.autoheal import alerts, killswitch
from healer.autoheal.events import Kind
from healer.autoheal.execute import Outcome
from healer.autoheal.gates import LONGEST_WAIT, WAITING, Gate, Gates, Key, Refusal, Request, Switches
from healer.autoheal.journal import JournalError
from healer.autoheal.recovery import Left, replay
from healer.autoheal.recovery import request as request_of
from healer.autoheal.survivors import survivors
from healer.autoheal.waiting import QUEUE, FullError, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from healer.autoheal.alerts import Alert, Plan
    from healer.autoheal.events import Event
    from healer.autoheal.execute import Executor
    from healer.autoheal.policy import Policy
    from healer.autoheal.record import Recorder
    from healer.autoheal.settings import Settings
    from healer.runtime.clock import Anchor, Clock

SELF_TEST_SECONDS = 300.0
TICK_SECONDS = 1.0
ALIVE_SECONDS = 15.0


class Dispatcher:
    """The heart of autoheal.

    Attributes:
        policy: The policy in force.
        gates: What decides.
        watchdog: When a Watchdog was last received (an instant), or None.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        recorder: Recorder,
        executor: Executor,
        *,
        clock: Clock,
        anchor: Anchor,
    ) -> None:
        """Make a dispatcher that knows nothing yet; `recover` comes first.

        Args:
            settings: How to run.
            policy: What is allowed.
            recorder: Puts events on record.
            executor: Runs actions.
            clock: Its time.
            anchor: Turns instants into epoch seconds.
        """
        self.gates = Gates(policy.backoff, policy.breaker, policy.concurrency)
        self.policy = policy
        self.watchdog: float | None = None
        self._settings = settings
        self._recorder = recorder
        self._executor = executor
        self._clock = clock
        self._anchor = anchor
        self._queue: deque[Waiting] = deque()
        self._tasks: dict[asyncio.Task[None], Waiting] = {}
        self._accepting: dict[str, Waiting] = {}
        self._wake = asyncio.Event()
        self._ticked = clock.monotonic()
        self._trimmed = -TICK_SECONDS
        self._tested = -SELF_TEST_SECONDS
        self._log = structlog.get_logger(component="autoheal")

    @property
    def kill_switch(self) -> Path:
        """The file that stops everything while it exists."""
        return self._settings.audit_path.parent / (self.policy.kill_switch or "autoheal.stop")

    def switches(self) -> Switches:
        """Return the switches as they are at this moment."""
        killed, sound = killswitch.is_on(self.kill_switch), self._recorder.fault is None
        return Switches(self._settings.enabled, self._settings.dry_run, killed, sound)

    @property
    def waiting(self) -> tuple[Request, ...]:
        """What waits for its time or its turn, the oldest first."""
        return tuple(each.request for each in self._queue)

    def alive(self) -> bool:
        """Return whether work goes on."""
        return self._clock.monotonic() - self._ticked < ALIVE_SECONDS

    async def adopt(self, policy: Policy) -> None:
        """Put another policy in force; what waits and would not be accepted by it any more is dropped."""
        self.policy = policy
        self.gates.backoff, self.gates.breaker = policy.backoff, policy.breaker
        self.gates.concurrency = policy.concurrency
        dropped = []
        for waiting in list(self._queue):
            plan = self._plan(waiting.alert, waiting.request.id, waiting.since)
            if (plan.key, plan.argv, plan.action) != (waiting.request.key, waiting.argv, waiting.action):
                refusal = Refusal(Gate.RULE, "the policy that allowed it is no longer in force")
                dropped.append(self._withdraw(waiting, refusal))
        await self._recorder.write_or_owe(*dropped)
        self._wake.set()

    async def receive(self, found: Sequence[Alert]) -> list[Event]:
        """Take in the alerts of a webhook, and return what was decided about each but Watchdogs, in their order.

        It returns when that is on record and before anything is done.

        Raises:
            FullError: There is no room; nothing was taken in.
            JournalError: They are not on record; nothing will be done.
        """
        if self._recorder.fault is not None:
            raise JournalError(self._recorder.fault)
        beats = [alert for alert in found if alert.name == alerts.WATCHDOG]
        if any(alert.firing for alert in beats):
            self.watchdog = self._clock.monotonic()
        if beats and len(beats) == len(found):
            return []  # a Watchdog comes every few seconds; it proves the pipeline, and is no event
        others = [alert for alert in found if alert.name != alerts.WATCHDOG]
        now = self._clock.monotonic()
        plans = [(alert, self._plan(alert, secrets.token_hex(8), now)) for alert in others]
        wanted = {plan.answer.key for _, plan in plans if isinstance(plan.answer, Request)}
        if len(wanted - set(self.gates.held)) > QUEUE - len(self._queue):
            raise FullError(f"{len(self._queue)} actions are waiting already")
        happened: list[Event] = []
        received = self._recorder.event(Kind.WEBHOOK_RECEIVED, alerts=len(found))
        accepted: list[str] = []
        decisions = [self._take(alert, plan, accepted, happened) for alert, plan in plans]
        try:
            await self._recorder.write(received, *decisions, *happened)
        except JournalError:
            for id_ in accepted:
                if id_ in self._accepting:
                    self.gates.release(self._accepting.pop(id_).request)
            self._recorder.owe(happened)
            raise
        # What resolved while the disk was waited for is there no more.
        self._queue += [self._accepting.pop(id_) for id_ in accepted if id_ in self._accepting]
        self._wake.set()
        return decisions

    def _plan(self, alert: Alert, id_: str, heard: float) -> Plan:
        return alerts.plan(alert, self.policy, id_, self._instant, heard)

    def _take(self, alert: Alert, plan: Plan, accepted: list[str], happened: list[Event]) -> Event:
        """Decide about one alert; return the decision, and note in `happened` what else came of it."""
        now = self._clock.monotonic()
        if not alert.firing and plan.key is not None:
            happened += self._resolve(alert, plan.key, now)
        refusal = self.gates.admit(plan.answer, now, self.switches())
        if refusal is not None or not isinstance(plan.answer, Request) or plan.action is None:
            objection = refusal or Refusal(Gate.RULE, "no rule of the policy is for this alert")
            return self._recorder.skip(alert, plan.key, objection)
        waiting = Waiting(plan.answer, plan.action, plan.argv, alert, now)
        self._accepting[waiting.request.id] = waiting
        accepted.append(waiting.request.id)
        left = round(self.gates.left(plan.answer, now), 3) or None
        return self._recorder.about(
            Kind.ALERT_ACCEPTED, waiting.request, payload=alert.payload(), wait_sec=left
        )

    def _resolve(self, alert: Alert, key: Key, now: float) -> list[Event]:
        """Note that an alert resolved; return what follows from that."""
        found = []
        for waiting in (*self._queue, *self._accepting.values()):
            if waiting.request.key == key and waiting.request.alert == alert.fingerprint:
                refusal = Refusal(Gate.NOT_FIRING, "the alert resolved while it waited")
                found.append(self._withdraw(waiting, refusal))
        at = now if alert.ended is None else min(now, self._instant(alert.ended))
        after = self.gates.resolved(key, alert.fingerprint, at)
        if after is not None:
            found.append(self._recorder.verdict(Kind.HEALED, key, alert.name, after))
        return found

    def _withdraw(self, waiting: Waiting, refusal: Refusal) -> Event:
        """Take out what waits; return its end."""
        if self._accepting.pop(waiting.request.id, None) is None:
            self._queue.remove(waiting)
        self.gates.release(waiting.request)
        return self._recorder.skip(waiting.alert, waiting.request.key, refusal, waiting.request.id)

    async def recover(self, events: Sequence[Event]) -> None:
        """Go on where `events`, the record, end.

        Raises:
            JournalError: The record cannot be written.
        """
        left = replay(events, self.gates, self._instant)
        found = [self._recorder.event(Kind.STARTED, version=__version__), *self._interrupted(left)]
        for event in left.waiting.values():
            found += self._again(event)
        await self._recorder.write(*found)

    def _interrupted(self, left: Left) -> list[Event]:
        found = []
        for start in left.unfinished.values():
            self.gates.end(request_of(start, self._instant), self._clock.monotonic(), verify=False)
            found.append(
                self._recorder.event(
                    Kind.ACTION_INTERRUPTED,
                    id=start.id,
                    alertname=start.alertname,
                    action=start.action,
                    target=start.target,
                    error="autoheal ended before the action did; what came of it is not known",
                    survivors=survivors(start.id),
                )
            )
        return found

    def _again(self, event: Event) -> list[Event]:
        """Take up a request that was accepted before this process began, if it may still run."""
        try:
            alert = msgspec.convert(event.payload or {}, alerts.Alert)
        except msgspec.ValidationError:
            return []
        now, since = self._clock.monotonic(), self._instant(event.ts)
        plan = self._plan(alert, event.id, since)
        refusal = self.gates.admit(plan.answer, now, self.switches())
        if refusal is not None or not isinstance(plan.answer, Request) or plan.action is None:
            return [self._recorder.skip(alert, plan.key, refusal or Refusal(Gate.RULE, "no rule"), event.id)]
        self._queue.append(Waiting(plan.answer, plan.action, plan.argv, alert, since))
        return []

    async def run(self) -> None:
        """Carry out what waits, and do what is due every second, until cancelled."""
        try:
            while True:
                await self.tick()
                try:
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
        finally:
            await self._leave()

    async def tick(self) -> None:
        """Do all that is due now."""
        self._anchor.check()
        now = self._clock.monotonic()
        try:
            await self._recorder.settle()
            for waiting in list(self._queue):
                await self._turn(waiting)
            overdue = self.gates.overdue(now)
            if overdue:
                events = [
                    self._recorder.verdict(Kind.NOT_HEALED, key, past.alertname) for key, past in overdue
                ]
                await self._recorder.write(*events)
            if now - self._tested >= SELF_TEST_SECONDS:
                self._tested = now
                await self._recorder.write(self._recorder.event(Kind.SELF_TEST))
        except JournalError:
            self._log.debug("nothing runs while the record cannot be written")
        if now - self._trimmed >= TICK_SECONDS:
            self._trimmed = now
            await asyncio.to_thread(self._executor.trim)
        self._ticked = self._clock.monotonic()

    async def _turn(self, waiting: Waiting) -> None:
        """Ask the gates about what waits, and act on the answer."""
        if all(waiting is not each for each in self._queue):
            return  # it was withdrawn while another one had its turn
        now = self._clock.monotonic()
        was_open = self.gates.open_since is not None
        refusal = self.gates.begin(waiting.request, now, self.switches())
        if refusal is not None and refusal.gate in WAITING:
            if now - waiting.since < LONGEST_WAIT:
                return
            self.gates.release(waiting.request)
        self._queue.remove(waiting)
        if refusal is None:
            await self._start(waiting)
            return
        events = []
        if self.gates.open_since is not None and not was_open:
            events.append(self._recorder.event(Kind.BREAKER_OPEN, detail=refusal.why))
        if refusal.gate is Gate.DRY_RUN:
            events.append(self._recorder.about(Kind.ACTION_DRY_RUN, waiting.request, cmd=waiting.shown))
        else:
            events.append(
                self._recorder.skip(waiting.alert, waiting.request.key, refusal, waiting.request.id)
            )
        await self._recorder.write_or_owe(*events)

    async def _start(self, waiting: Waiting) -> None:
        asked, began = waiting.request, waiting.alert.began
        event = self._recorder.about(
            Kind.ACTION_START,
            waiting.request,
            cmd=waiting.shown,
            alert=asked.alert,
            incident=asked.incident,
            cooldown_sec=asked.cooldown,
            verify_sec=asked.verify_for,
            pending_sec=asked.pending or None,
            starts_at=round(self._anchor.epoch(waiting.since), 3) if began is None else began,
        )
        try:
            await self._recorder.write(event)
        except JournalError as error:
            await self._end(waiting, Kind.ACTION_CANCELLED, error=str(error))
            return
        # The last look: between the decision and here the disk was waited for.
        if killswitch.is_on(self.kill_switch):
            why = "the kill switch is on"
            await self._end(waiting, Kind.ACTION_CANCELLED, error=why, reason=str(Gate.KILL_SWITCH))
            return
        if self.gates.past[asked.key].healthy is not None:
            why = "the alert resolved"
            await self._end(waiting, Kind.ACTION_CANCELLED, error=why, reason=str(Gate.NOT_FIRING))
            return
        task = asyncio.create_task(self._execute(waiting), name=f"action {asked.id}")
        self._tasks[task] = waiting
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _execute(self, waiting: Waiting) -> None:
        alert = msgspec.json.encode(waiting.alert)
        try:
            outcome = await self._executor.run(waiting.request.id, waiting.action, waiting.argv, alert)
        except Exception as error:  # noqa: BLE001  # whatever it is: without an end the target would be held for good
            self._log.exception("an action broke", id=waiting.request.id)
            outcome = Outcome(f"autoheal could not run it: {error!r}", 0.0)
        await self._end(
            waiting,
            Kind.ACTION_FAIL if outcome.error else Kind.ACTION_OK,
            cmd=waiting.shown,
            error=outcome.error,
            exit_code=outcome.exit_code,
            duration_sec=round(outcome.seconds, 3),
            output=outcome.output,
            output_file=outcome.output_file,
            survivors=outcome.survivors,
        )
        self._wake.set()

    async def _end(self, waiting: Waiting, kind: Kind, **facts: object) -> None:
        now, asked = self._clock.monotonic(), waiting.request
        healthy = self.gates.end(asked, now, verify=kind is Kind.ACTION_OK)
        events = [self._recorder.about(kind, waiting.request, **facts)]
        if healthy:
            past = self.gates.past[asked.key]
            after = (past.healthy or now) - (past.started or now)
            events.append(self._recorder.verdict(Kind.HEALED, asked.key, asked.alertname, after))
        await self._recorder.write_or_owe(*events)

    async def _leave(self) -> None:
        """Put on record what is left running; a half restart is worse than none, so nothing is ended."""
        running = dict(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for waiting in running.values():
            if waiting.request.id in self.gates.running:
                left = survivors(waiting.request.id)
                why = "autoheal was stopped; what came of the action is not known"
                await self._end(waiting, Kind.ACTION_INTERRUPTED, error=why, survivors=left)

    async def reset_breaker(self, principal: str) -> bool:
        """Close the breaker for `principal`; return whether it was open.

        Raises:
            JournalError: That is not on record; it stays open.
        """
        if self.gates.open_since is None:
            return False
        await self._recorder.write(self._recorder.event(Kind.BREAKER_RESET, principal=principal))
        return self.gates.reset()

    def _instant(self, epoch: float) -> float:
        """Return the instant of `epoch` seconds; what claims to be in the future is now."""
        now = self._clock.monotonic()
        return min(now, now - (self._anchor.now() - epoch))
