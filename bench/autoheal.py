"""Webhooks that autoheal answers a second, and the time from a webhook to its command, beside what does less.

Beside it: a bare aiohttp handler that only runs the command, and adnanh/webhook (Debian package `webhook`, unpacked
anywhere, given as --webhook). Both keep no record and have no gates; adnanh/webhook starts the command and answers,
the bare handler too. Each webhook holds one alert on a target of its own, so that every one is carried out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

TOKEN = "benchmark-token-0123456789"
BARE = """
import asyncio, sys
from aiohttp import web
async def take(request):
    svc = (await request.json())["alerts"][0]["labels"]["svc"]
    await asyncio.create_subprocess_exec("/bin/sh", sys.argv[2], svc)
    return web.Response(text="ok")
app = web.Application()
app.router.add_post("/alert", take)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def body(svc: str) -> bytes:
    return json.dumps(
        {"alerts": [{"status": "firing", "labels": {"alertname": "HeartbeatMiss", "svc": svc}}]}
    ).encode()


def _carried_out(ran: Path) -> int:
    return len(list(ran.glob("many*")))


async def measure(url: str, ran: Path, single: int, together: int) -> dict[str, float]:
    """Post one after the other for the latency, then many at once for the throughput."""
    delays = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def post(svc: str) -> None:
            while True:
                async with session.post(
                    url, data=body(svc), headers={"Content-Type": "application/json"}
                ) as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.05)  # the queue is full: what Alertmanager does on a 503

        for number in range(single):
            began, made = time.time(), ran / f"single{number}"
            await post(made.name)
            while not made.exists():  # noqa: ASYNC110  # another process makes it; nobody sets an event
                await asyncio.sleep(0.001)
            delays.append(int(made.read_text()) / 1e9 - began)
        slots = asyncio.Semaphore(16)

        async def one(number: int) -> None:
            async with slots:
                await post(f"many{number}")

        start = time.monotonic()
        await asyncio.gather(*(one(number) for number in range(together)))
        answered = time.monotonic() - start
        while _carried_out(ran) < together:  # noqa: ASYNC110  # the same
            await asyncio.sleep(0.01)
        carried = time.monotonic() - start
    delays.sort()
    return {
        "exec_ms_median": 1000 * statistics.median(delays),
        "exec_ms_p95": 1000 * delays[int(0.95 * len(delays))],
        "answered_per_sec": together / answered,
        "carried_out_per_sec": together / carried,
    }


def contestants(
    folder: Path, script: Path, port: int, webhook: str | None
) -> dict[str, tuple[list[str], str]]:
    """What is started, and where it takes webhooks."""
    policy = {
        "actions": {"note": {"kind": "command", "command": ["/bin/sh", str(script), "{svc}"]}},
        "rules": [{"match": {"alertname": "HeartbeatMiss"}, "action": "note"}],
        "breaker": {"actions": 1000},
        "concurrency": 16,
    }
    hook = {
        "id": "alert",
        "execute-command": "/bin/sh",
        "pass-arguments-to-command": [
            {"source": "string", "name": str(script)},
            {"source": "payload", "name": "alerts.0.labels.svc"},
        ],
    }
    (folder / "autoheal.yml").write_text(json.dumps(policy))
    (folder / "tokens").write_text(f"bench {TOKEN}\n")
    (folder / "tokens").chmod(0o600)
    (folder / "hooks.json").write_text(json.dumps([hook]))
    (folder / "bare.py").write_text(BARE)
    url = f"http://127.0.0.1:{port}"
    heal = [
        sys.executable,
        "-m",
        "healer",
        "--log-level",
        "ERROR",
        "autoheal",
        "--listen",
        f"127.0.0.1:{port}",
    ]
    found = {
        "autoheal": ([*heal, "--config", str(folder / "autoheal.yml")], f"{url}/alert"),
        "bare aiohttp": ([sys.executable, str(folder / "bare.py"), str(port), str(script)], f"{url}/alert"),
    }
    if webhook:
        argv = [webhook, "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port)]
        found["adnanh/webhook"] = (argv, f"{url}/hooks/alert")
    return found


async def run(argv: list[str], url: str, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    ran = folder / "ran"
    for path in ran.iterdir():
        path.unlink()
    env = {
        **os.environ,
        "AUTOHEAL_ENABLED": "true",
        "AUTOHEAL_DRY_RUN": "false",
        "AUTOHEAL_TOKEN_FILE": str(folder / "tokens"),
        "AUTOHEAL_AUDIT_PATH": str(folder / "audit.jsonl"),
    }
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", args.port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        return await measure(url, ran, args.single, args.together)
    finally:
        process.terminate()
        await process.wait()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhook", help="adnanh/webhook's executable")
    parser.add_argument("--single", type=int, default=50)
    parser.add_argument("--together", type=int, default=300)
    parser.add_argument("--port", type=int, default=19_099)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ran").mkdir()
        script = folder / "note.sh"
        script.write_text(f'date +%s%N > "{folder}/ran/.$1" && mv "{folder}/ran/.$1" "{folder}/ran/$1"\n')
        for contestant, (argv, url) in contestants(folder, script, args.port, args.webhook).items():
            figures = await run(argv, url, folder, args)
            print(f"{contestant:<16}" + "  ".join(f"{key} {value:8.1f}" for key, value in figures.items()))


asyncio.run(main())
