"""What tests of several packages share: real servers, on ports of their own."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest
import pytest_asyncio

from healer.stack import stack
from healer.stack.ports import Ports
from healer.stack.servers import MissingServersError, Servers, find

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


# Under nohup, or in a shell's background, the tests are told to ignore these, and so would be whatever they start.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# A machine that is busy with real servers is no reason to call an example slow.
hypothesis.settings.register_profile("healer", deadline=None)
hypothesis.settings.load_profile("healer")


class RedisFactory(Protocol):
    """Starts Redis servers for a test: `server = await redis_server()`."""

    async def __call__(self, name: str = "redis", *, keep: bool = False) -> stack.Server: ...


@pytest.fixture(scope="session")
def servers() -> Servers:
    """All servers, found or fetched; HEALER_TEST_RELEASE chooses the Debian release they are taken from."""
    try:
        return find(os.environ.get("HEALER_TEST_RELEASE") or None)
    except MissingServersError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Free loopback ports, reserved for the test: `ports.take()`."""
    with Ports() as ports:
        yield ports


@pytest.fixture
def free_port(ports: Ports) -> int:
    """One free loopback port, reserved for the test."""
    return ports.take()


@pytest_asyncio.fixture
async def redis_server(servers: Servers, ports: Ports) -> AsyncIterator[RedisFactory]:
    """Real Redis servers, ready when the call returns; each has `url`, `port`, and can be killed, paused, restarted."""
    with tempfile.TemporaryDirectory(prefix="healer-test-", ignore_cleanup_errors=True) as folder:
        running: list[stack.Server] = []

        async def start(name: str = "redis", *, keep: bool = False) -> stack.Server:
            name = name if name != "redis" else f"redis-{len(running)}"
            server = stack.redis(servers.redis_server, Path(folder), ports.take(), name, keep=keep)
            running.append(server)
            await server.start()
            await server.wait_ready()
            return server

        try:
            yield start
        finally:
            for server in running:
                await server.kill()
