"""A Docker engine: the one that answers, else one of our own, in a network namespace of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from healer.stack.servers import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE = Path(sys.executable).with_name("docker-compose")
NEEDED = ("docker", "dockerd", "containerd", "iptables", "unshare", "debootstrap")
START_SECONDS = 60
STOP_SECONDS = 30


class NoEngineError(Exception):
    """No engine answers and none can be started; the message says what is missing."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        host: Its address, as DOCKER_HOST; empty: the one that `docker` finds by itself.
    """

    host: str = ""

    @property
    def own(self) -> bool:
        """Whether it is ours, has no way out, and so cannot pull images."""
        return bool(self.host)

    @property
    def environment(self) -> dict[str, str]:
        """What `docker` and Compose need to find it."""
        return {**os.environ, **({"DOCKER_HOST": self.host} if self.host else {})}

    def docker(
        self, *arguments: str, check: bool = True, **given: str | int
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker`."""
        argv = ["docker", *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=self.environment, **given
        )  # type: ignore[call-overload]
        assert not check or done.returncode == 0, (argv, done.stdout[-2000:], done.stderr[-2000:])
        return done  # type: ignore[no-any-return]


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that answers, or start one for as long as it is used.

    Raises:
        NoEngineError: There is none, and what it takes to start one is missing.
    """
    if shutil.which("docker") and Engine().docker("info", check=False).returncode == 0:
        yield Engine()
        return
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        raise NoEngineError(
            "no Docker engine answers (`docker info`), and none can be started here. Either start yours, or be root"
            " and have these programs:"
            f" {', '.join(missing) or 'all there'}{'' if os.geteuid() == 0 else '; but you are not root'}."
            " On Debian and Ubuntu: apt install docker.io debootstrap iptables"
        )
    with tempfile.TemporaryDirectory(prefix="healer-engine-") as folder, _started(Path(folder)) as own:
        yield own


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[Engine]:
    """Run dockerd where its networks and its firewall are nobody else's; images are kept for the next time."""
    own = Engine(f"unix://{folder}/docker.sock")
    data = cache_folder() / "engine"
    data.mkdir(parents=True, exist_ok=True)
    # Not `ip netns exec`: that mounts a /sys of its own, without the cgroups in it.
    inside = (
        "ip link set lo up; exec dockerd"
        f" --data-root {data} --exec-root {folder}/run --pidfile {folder}/pid --host {own.host}"
        " --storage-driver overlay2 --log-level warn"
    )
    with (folder / "log").open("w") as log:
        dockerd = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", inside], stdout=log, stderr=log, start_new_session=True
        )
        try:
            began = time.monotonic()
            while own.docker("info", check=False).returncode != 0:
                if dockerd.poll() is not None or time.monotonic() - began > START_SECONDS:
                    raise NoEngineError(f"dockerd did not start:\n{(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.2)
            yield own
        finally:
            dockerd.send_signal(signal.SIGTERM)
            try:
                dockerd.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(dockerd.pid, signal.SIGKILL)
                dockerd.wait()
