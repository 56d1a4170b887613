"""What else there is, doing the nearest thing it can: exporters from Debian's packages, fetched into the servers' cache.

prometheus-mqtt-exporter hears beats that are published through mosquitto; a pushgateway takes beats that are pushed, each
in a request; prometheus-redis-exporter shows keys that services set.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import Redis

from healer.stack.apt import AptError, System
from healer.stack.fetch import Cache, Group
from healer.stack.servers import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.ingest import Bus

    from healer.stack.ports import Ports

PACKAGES = ("mosquitto", "prometheus-mqtt-exporter", "prometheus-pushgateway", "prometheus-redis-exporter")
GROUP = Group("rivals", PACKAGES, re.compile("(?!)"))
SECONDS = 2.0

MQTT = """
mqtt:
  server: tcp://127.0.0.1:{broker}
  topic_path: beat/+
  qos: 0
cache: {{timeout: 60m}}
metrics:
  - {{prom_name: beat_ts, mqtt_name: ts, help: Stamp of the beat, type: gauge}}
"""


def fetched() -> Path | None:
    """Return where the packages are unpacked, or None with a line why they are not to be had."""
    try:
        machine = System.here()
        cache = Cache(cache_folder(), machine.codename)
        root = cache.root(GROUP)
        if not root.exists():
            with cache.locked(print):
                cache.fill([GROUP], machine, print)
    except (AptError, OSError) as error:
        print(f"no other exporters to compare with: {error}")
        return None
    return root


@contextmanager
def running(root: Path, argv: list[str], port: int) -> Iterator[None]:
    """Run a program of the packages until it is no longer needed."""
    libraries = ":".join(sorted({str(one.parent) for one in root.glob("usr/lib/**/*.so*")}))
    found = next(path for path in (root / "usr/bin" / argv[0], root / "usr/sbin" / argv[0]) if path.exists())
    with subprocess.Popen(
        [str(found), *argv[1:]], env={"LD_LIBRARY_PATH": libraries},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            else:
                raise SystemExit(f"{argv[0]} did not start")
            yield
        finally:
            process.kill()


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=120) as answer:
        return str(answer.read().decode())


def mqtt_rate(root: Path, folder: Path, ports: Ports, channels: int) -> float:
    """Return how many messages a second prometheus-mqtt-exporter takes."""
    broker, port = ports.take(), ports.take()
    (folder / "mosquitto.conf").write_text(
        f"listener {broker} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n"
    )
    (folder / "mqtt.yaml").write_text(MQTT.format(broker=broker))
    exporter = ["prometheus-mqtt-exporter", "-config", str(folder / "mqtt.yaml")]
    exporter += ["-listen-address", "127.0.0.1", "-listen-port", str(port), "-log-level", "error"]
    with (
        running(root, ["mosquitto", "-c", str(folder / "mosquitto.conf")], broker),
        running(root, exporter, port),
        socket.create_connection(("127.0.0.1", broker)) as out,
    ):
        time.sleep(0.5)
        out.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01b")
        out.recv(4)
        topics = [b"beat/svc%d" % number for number in range(channels)]
        packets = [b"\x00%c%s%s" % (len(topic), topic, b'{"ts":1795350000,"i":1}') for topic in topics]
        blob = b"".join(b"\x30%c%s" % (len(packet), packet) for packet in packets)
        begun = time.monotonic()
        first = 0.0
        while time.monotonic() - begun < 0.5 + SECONDS:
            out.sendall(blob)
            if not first and time.monotonic() - begun > 0.5:
                first, since = _taken(port), time.monotonic()
        return (_taken(port) - first) / (time.monotonic() - since)


def _taken(port: int) -> float:
    return sum(map(float, re.findall(r"^received_messages\S* (\S+)$", page(port), re.MULTILINE)))


def push_rate(root: Path, ports: Ports, channels: int) -> float:
    """Return how many pushes a second a pushgateway takes without its consistency check."""
    port = ports.take()
    argv = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"]
    argv += ["--push.disable-consistency-check", "--log.level=error"]
    body = b"heartbeat_last_seen_timestamp_seconds 1795350000\n"
    with running(root, argv, port), socket.create_connection(("127.0.0.1", port)) as wire:
        taken, number, rest = 0, 0, b""
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS:
            batch = range(number, number + 100)
            wire.sendall(
                b"".join(
                    b"PUT /metrics/job/svc%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                    % (one % channels, len(body), body)
                    for one in batch
                )
            )
            number += 100
            while taken < number:
                rest += wire.recv(1 << 16)
                taken += rest.count(b"HTTP/1.1 2")
                rest = rest[-9:]
        return taken / (time.monotonic() - begun)


def redis_scrape(root: Path, bus: Bus, ports: Ports, channels: int) -> float:
    """Return the seconds of one scrape of prometheus-redis-exporter that shows a key of each service."""
    port = ports.take()
    with Redis.from_url(bus.url) as redis, redis.pipeline(transaction=False) as pipeline:
        for number in range(channels):
            pipeline.set(f"svc{number}:heartbeat", 1_795_350_000)
        pipeline.execute()
        argv = ["prometheus-redis-exporter", f"-redis.addr={bus.url}", "-check-keys=db0=*:heartbeat"]
        try:
            with running(root, [*argv, f"-web.listen-address=127.0.0.1:{port}"], port):
                begun = time.monotonic()
                shown = page(port).count("\nredis_key_value{")
                took = time.monotonic() - begun
            if shown != channels:
                raise SystemExit(f"prometheus-redis-exporter shows {shown} keys of {channels}")
            return took
        finally:
            redis.flushdb()
