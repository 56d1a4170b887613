"""How each server of a native run is started: its flags, its readiness, its folder."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from healer.stack.ports import LOOPBACK
from healer.stack.probes import http_ok, redis_pong
from healer.stack.process import Command, Process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from healer.stack.servers import Program


class Server(Process):
    """A process with an address; it keeps the address over restarts."""

    def __init__(self, command: Command, logs: Path, port: int, scheme: str = "http") -> None:
        super().__init__(command, logs)
        self.port = port
        self.address = f"{LOOPBACK}:{port}"
        self.url = f"{scheme}://{self.address}"


def redis(program: Program, directory: Path, port: int, name: str = "redis", *, keep: bool = False) -> Server:
    """Return a Redis server on loopback; with `keep`, every write survives even its being killed.

    Args:
        program: redis-server.
        directory: Folder for its log and, below it, its data.
        port: Where it listens.
        name: What it is called; names its log and data.
        keep: Whether its data survives a restart; otherwise it comes back empty.
    """
    data = directory / name
    data.mkdir(parents=True, exist_ok=True)
    persistence = ("--appendonly", "yes", "--appendfsync", "always") if keep else ("--appendonly", "no")
    argv = (
        program.path,
        *("--port", str(port), "--bind", LOOPBACK, "--protected-mode", "yes"),
        *("--dir", data, "--save", "", *persistence),
    )
    command = Command(name, argv, redis_pong(port), program.environment)
    return Server(command, directory, port, scheme="redis")


def prometheus(
    program: Program,
    directory: Path,
    port: int,
    config: Path,
    *,
    resend_delay: float = 60.0,
    queue_capacity: int = 10_000,
    options: Sequence[str] = (),
) -> Server:
    """Return a Prometheus that runs `config` and can be reloaded by POST.

    Args:
        program: prometheus.
        directory: Folder for its log and, below it, its data.
        port: Where it listens.
        config: Its prometheus.yml; absolute.
        resend_delay: Seconds between two sendings of an alert that fires on.
        queue_capacity: Notifications that wait for Alertmanager before some are dropped.
        options: More of its command line.
    """
    argv: tuple[str | Path, ...] = (
        program.path,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--web.enable-lifecycle",
        f"--rules.alert.resend-delay={_duration(resend_delay)}",
        f"--alertmanager.notification-queue-capacity={queue_capacity}",
        *options,
    )
    ready = http_ok(f"http://{LOOPBACK}:{port}/-/ready")
    return Server(Command("prometheus", argv, ready, program.environment, program.directory), directory, port)


def alertmanager(
    program: Program,
    directory: Path,
    port: int,
    config: Path,
    *,
    gossip: int | None = None,
    peers: Sequence[int] = (),
) -> Server:
    """Return an Alertmanager.

    Args:
        program: alertmanager.
        directory: Folder for its log and, below it, its data.
        port: Where it listens.
        config: Its alertmanager.yml; absolute.
        gossip: Where it listens for its cluster; None: it has none.
        peers: Where others of the cluster listen.
    """
    cluster: list[str | Path] = [f"--cluster.listen-address={f'{LOOPBACK}:{gossip}' if gossip else ''}"]
    if gossip:
        # A cluster on one machine finds together, and notices a death, faster than one across a network should.
        cluster += ["--cluster.gossip-interval=50ms", "--cluster.pushpull-interval=1s"]
        cluster += ["--cluster.probe-interval=200ms", "--cluster.probe-timeout=100ms"]
        cluster += ["--cluster.peer-timeout=2s", *(f"--cluster.peer={LOOPBACK}:{peer}" for peer in peers)]
    argv = (
        program.path,
        f"--config.file={config}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        *cluster,
    )
    ready = http_ok(f"http://{LOOPBACK}:{port}/-/ready")
    return Server(
        Command("alertmanager", argv, ready, program.environment, program.directory), directory, port
    )


def healer(
    daemon: str,
    directory: Path,
    port: int,
    environment: Mapping[str, str],
    *,
    name: str | None = None,
    options: Sequence[str | Path] = (),
) -> Server:
    """Return one of Healer's own daemons, such as `exporter`, run by this Python.

    Args:
        daemon: The subcommand.
        directory: Folder for its log.
        port: Where it listens.
        environment: Its settings, such as TRUTH_REDIS_URL.
        name: What it is called, by default as the daemon; a second replica needs another.
        options: More of its command line.
    """
    argv = (sys.executable, "-m", "healer", daemon, "--listen", f"{LOOPBACK}:{port}", *options)
    ready = http_ok(f"http://{LOOPBACK}:{port}/-/healthy")
    return Server(Command(name or daemon, argv, ready, dict(environment)), directory, port)


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
