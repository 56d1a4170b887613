"""docker-compose.yml on a Docker engine. Run by `make test-compose`; `make test` leaves these out."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import standins
from .engine import COMPOSE, Engine, NoEngineError
from .engine import engine as an_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
HEALER = "healer:local"
PROJECT = "healer-test"
LISTEN = """
import redis, time
while True:
    try:
        channel = redis.Redis("system-redis").pubsub()
        channel.subscribe("healer:alerts")
        print("subscribed")
        for each in channel.listen():
            if each["type"] == "message":
                print(each["data"].decode())
    except redis.RedisError:
        time.sleep(0.2)
"""
LABEL = f"label=com.docker.compose.project={PROJECT}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless they are asked for by name."""
    return None if any("compose" in str(argument) for argument in config.invocation_params.args) else True


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine that holds every image, Healer's among them, built by the Dockerfile."""
    try:
        with an_engine() as found:
            if found.own:
                standins.provide(found, images(), HEALER)
            else:
                found.docker("build", "--quiet", "--tag", HEALER, str(ROOT))
            yield found
    except NoEngineError as error:
        pytest.fail(str(error), pytrace=False)


def images() -> set[str]:
    """Return the images that docker-compose.yml names and does not build."""
    done = subprocess.run(
        [COMPOSE, "--profile", "*", "config", "--format", "json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {each["image"] for each in json.loads(done.stdout)["services"].values() if "build" not in each}


@dataclass
class Deployment:
    """The project of docker-compose.yml on an engine.

    Attributes:
        engine: Where it runs.
        env: What .env would say.
        heard: The file into which the alerts channel is written, once `listen` was called.
    """

    engine: Engine
    env: dict[str, str] = field(default_factory=dict)
    heard: Path | None = None

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run Compose; return what it printed."""
        argv = [str(COMPOSE), "--project-name", PROJECT, *arguments]
        done = subprocess.run(
            argv, cwd=ROOT, env={**self.engine.environment, **self.env},
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert not check or done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-3000:])
        return done.stdout

    def up(self, *services: str) -> None:
        """Start and wait until all is well."""
        options = ["--detach", "--wait", "--wait-timeout", "120", "--no-build", "--pull", "never"]
        if not self.engine.own:
            options = options[:-2]
        try:
            self.compose("up", *options, *services)
        except AssertionError:
            print(self.compose("ps", "--all"), self.compose("logs", "--tail", "8"))  # noqa: T201  for the report
            raise

    def containers(self) -> list[dict[str, Any]]:
        """Return what the engine knows of each container."""
        numbers = self.engine.docker("ps", "--all", "--quiet", "--filter", LABEL).stdout.split()
        found: list[dict[str, Any]] = (
            json.loads(self.engine.docker("inspect", *numbers).stdout) if numbers else []
        )
        return found

    def container(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's one container."""
        (found,) = [
            each
            for each in self.containers()
            if each["Config"]["Labels"]["com.docker.compose.service"] == service
        ]
        return found

    def python(self, service: str, code: str) -> str:
        """Run Python in a service's container; return what it printed."""
        return self.compose("exec", "-T", service, "python", "-c", code).strip()

    def fetch(self, url: str) -> str:
        """GET a URL from within the network."""
        return self.python(
            "healer",
            f"from urllib.request import urlopen; print(urlopen({url!r}, timeout=5).read().decode())",
        )

    def query(self, promql: str) -> dict[str, float]:
        """Ask Prometheus; return the values by instance."""
        code = (
            "from urllib.request import urlopen; from urllib.parse import quote;"
            f" print(urlopen('http://prometheus:9090/api/v1/query?query=' + quote({promql!r}), timeout=5).read().decode())"
        )
        result = json.loads(self.python("healer", code))["data"]["result"]
        return {each["metric"].get("instance", ""): float(each["value"][1]) for each in result}

    def listen(self, heard: Path) -> subprocess.Popen[bytes]:
        """Write what is published on the alerts channel into `heard`, until the process is ended."""
        self.heard = heard
        argv = [COMPOSE, "--project-name", PROJECT, "exec", "-T", "massive", "python", "-u", "-c", LISTEN]
        with heard.open("wb") as file:
            listener = subprocess.Popen(
                argv,
                cwd=ROOT,
                env={**self.engine.environment, **self.env},
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        until(lambda: "subscribed" in heard.read_text(), 10)
        return listener

    def events(self) -> list[tuple[str, str]]:
        """Return what was published: type and service, in order."""
        assert self.heard is not None
        lines = [line for line in self.heard.read_text().splitlines() if line.startswith("{")]
        return [(each["type"], each["svc"]) for each in map(json.loads, lines)]


def until(condition: Callable[[], object], seconds: float) -> float:
    """Wait for `condition`; return how long that took, and fail after `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited in vain"
        time.sleep(0.25)
    return time.monotonic() - began
