"""A real autoheal process with a policy of its own, and alerts as Alertmanager writes them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

TOKEN = "0123456789abcdef-operator"
OTHER_TOKEN = "fedcba9876543210-rotated"
NEVER = "0001-01-01T00:00:00Z"


def instant(epoch: float) -> str:
    """Return `epoch` as Go writes it."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert(
    name: str = "HeartbeatMiss",
    svc: str = "rss_agg",
    *,
    starts: float | None = None,
    ends: float | None = None,
    annotations: dict[str, str] | None = None,
    **labels: str,
) -> dict[str, Any]:
    """Return an alert of a webhook; resolved if it `ends`."""
    return {
        "status": "firing" if ends is None else "resolved",
        "labels": {"alertname": name, "svc": svc, **labels},
        "annotations": annotations or {},
        "startsAt": NEVER if starts is None else instant(starts),
        "endsAt": NEVER if ends is None else instant(ends),
    }


def webhook(*alerts: dict[str, Any]) -> bytes:
    """Return the body that Alertmanager posts."""
    return json.dumps({"version": "4", "receiver": "autoheal", "alerts": list(alerts)}).encode()


def policy(command: list[str], *, svc: str = "", **top: Any) -> str:
    """Return a policy whose one action runs `command` for HeartbeatMiss; YAML is a superset of JSON."""
    action: dict[str, Any] = {
        "kind": "command",
        "command": command,
        "target": "svc",
        "timeout_sec": 20,
        "grace_sec": 1,
    }
    if svc:
        action["values"] = {"svc": svc}
    rules = [{"match": {"alertname": "HeartbeatMiss"}, "action": "restart"}]
    return json.dumps({"actions": {"restart": action}, "rules": rules, **top})


@dataclass
class Autoheal:
    """A running autoheal."""

    process: asyncio.subprocess.Process
    url: str
    folder: Path
    log: Path
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def journal(self) -> Path:
        return self.folder / "audit.jsonl"

    @property
    def kill_switch(self) -> Path:
        return self.folder / "autoheal.stop"

    async def request(self, method: str, path: str, **given: Any) -> tuple[int, str]:
        headers = {**self.headers, **given.pop("headers", {})}
        async with (
            ClientSession() as session,
            session.request(method, self.url + path, headers=headers, **given) as answer,
        ):
            return answer.status, await answer.text()

    async def post(self, *alerts: dict[str, Any]) -> int:
        return (await self.request("POST", "/alert", data=webhook(*alerts)))[0]

    async def status(self) -> dict[str, Any]:
        return json.loads((await self.request("GET", "/"))[1])

    async def audit(self, **query: Any) -> list[dict[str, Any]]:
        code, text = await self.request("GET", "/audit", params={"n": "10000", **query})
        assert code == 200, text
        return json.loads(text)

    async def kinds(self, **query: Any) -> list[str]:
        """Return what happened, in order, without what always does."""
        always = ("webhook_received", "alert_accepted", "self_test", "started")
        return [each["kind"] for each in await self.audit(**query) if each["kind"] not in always]

    async def reasons(self) -> list[str]:
        return [each["reason"] for each in await self.audit(kind="decision_skip")]

    async def wait_for(self, kind: str, count: int = 1, seconds: float = PATIENCE) -> list[dict[str, Any]]:
        start = time.monotonic()
        while len(found := await self.audit(kind=kind)) < count:
            assert time.monotonic() - start < seconds, await self.audit()
            await asyncio.sleep(0.05)
        return found

    async def metrics(self) -> dict[str, float]:
        """Return every sample as `name{label="value",...}`."""
        _, text = await self.request("GET", "/metrics")
        samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signum)
        return await self.process.wait()


@pytest_asyncio.fixture
async def autoheal(ports, tmp_path) -> AsyncIterator[Callable[..., Awaitable[Autoheal]]]:
    """Return a factory: `await autoheal(policy_text)` runs one, live unless told otherwise."""
    running: list[Autoheal] = []

    async def start(
        text: str,
        *,
        live: bool = True,
        token: str | None = TOKEN,
        folder: Path | None = None,
        port: str = "",
        **env: str,
    ) -> Autoheal:
        folder = folder or tmp_path / f"state-{len(running)}"
        folder.mkdir(exist_ok=True)
        config, tokens, log = folder / "autoheal.yml", folder / "tokens", folder / "log"
        config.write_text(text)
        tokens.write_text(f"operator {token}\n")
        tokens.chmod(0o600)
        variables = {"AUTOHEAL_AUDIT_PATH": str(folder / "audit.jsonl"), **env}
        if token is not None:
            variables["AUTOHEAL_TOKEN_FILE"] = str(tokens)
        if live:
            variables |= {"AUTOHEAL_ENABLED": "true", "AUTOHEAL_DRY_RUN": "false"}
        url = f"127.0.0.1:{port or ports.take()}"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "healer", "autoheal", "--listen", url, "--config", str(config)),
                env={**os.environ, **variables},
                stdout=output,
                stderr=output,
            )
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        made = Autoheal(process, f"http://{url}", folder, log, token, headers)
        running.append(made)
        begun = time.monotonic()
        while True:
            assert process.returncode is None, log.read_text()
            assert time.monotonic() - begun < PATIENCE, "autoheal does not answer"
            with contextlib.suppress(OSError):
                await made.request("GET", "/-/healthy")
                return made
            await asyncio.sleep(0.05)

    yield start
    for each in running:
        await each.stop(signal.SIGKILL)
