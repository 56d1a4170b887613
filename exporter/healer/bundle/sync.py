"""Takes one document all the way: rendered, checked, swapped in, reloaded; or leaves everything as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from healer.bundle.errors import BundleError
from healer.bundle.reload import RefusedError, Server, UnreachedError, reload, tell, verify
from healer.bundle.render import render
from healer.bundle.validate import check
from healer.runtime.tasks import aside
from healer.truth.load import parse
from healer.truth.problems import TruthError
from healer.truth.store import POLL_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from healer.bundle.settings import Settings
    from healer.bundle.swap import Swap
    from healer.truth.model import Truth


class Result(StrEnum):
    """How a sync ended; the label `result`."""

    SUCCESS = "success"
    TRUTH = "truth"
    CHECK = "check"
    WRITE = "write"
    REFUSED = "refused"
    UNREACHED = "unreached"


class SyncError(Exception):
    """The truth is not in force; the message says why.

    Attributes:
        result: What failed.
    """

    def __init__(self, result: Result, text: str) -> None:
        self.result = result
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the files are checked with; None leaves a check out.

    Attributes:
        promtool: Prometheus' tool.
        amtool: Alertmanager's tool.
    """

    promtool: Path | None = None
    amtool: Path | None = None


class Sync:
    """Brings one folder, and the servers that read it, in line with one document after the other."""

    def __init__(
        self,
        swap: Swap,
        settings: Settings,
        servers: Sequence[Server],
        session: aiohttp.ClientSession,
        *,
        env: Mapping[str, str],
        tools: Tools,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make a sync that takes every server to run something else, until it has reloaded.

        Args:
            swap: The folder.
            settings: As for `render`; its exporters and sentinels are told of a new truth before the rules change.
            servers: Who reads the folder.
            session: For talking to them.
            env: Environment variables, for the truth.
            tools: For checking.
            sleep: Waits that many seconds.
        """
        self._swap = swap
        self._settings = settings
        self._servers = servers
        self._session = session
        self._env = env
        self._tools = tools
        self._sleep = sleep
        self._due = set(servers)
        self._last: tuple[bytes, Truth, dict[str, str]] | None = None
        self._checked: dict[str, str] | None = None
        self._log = structlog.get_logger(component="bundle")

    async def run(self, raw: bytes, source: str) -> Truth:
        """Put the document `raw`, called `source` in messages, in force and return what it means.

        Raises:
            SyncError: It is not in force everywhere. The old files stay, unless a server is out of reach: then
                the new ones do, for it to find when it returns.
        """
        # A retry has the same document; of ten thousand services it takes many seconds to render.
        if self._last is None or self._last[0] != raw:
            self._last = (raw, *await aside(lambda: self._rendered(raw, source)))
        _, truth, files = self._last
        try:
            await self._stage(files)
            changed = await self._commit(files)
        except (OSError, BundleError) as error:
            raise SyncError(Result.WRITE, str(error)) from None
        reloaded = len(self._due)
        await self._reload(truth)
        if changed or reloaded:
            self._log.info(
                "truth in force",
                services=len(truth.services),
                sha256=truth.sha256[:12],
                files=changed,
                reloaded=reloaded,
            )
        return truth

    def _rendered(self, raw: bytes, source: str) -> tuple[Truth, dict[str, str]]:
        try:
            truth = parse(raw, env=self._env, source=source).truth
            return truth, render(truth, self._settings)
        except (TruthError, BundleError) as error:
            raise SyncError(Result.TRUTH, str(error)) from None

    async def _stage(self, files: dict[str, str]) -> None:
        """Write the files beside the old, and check them unless they passed before."""
        if files == self._checked and not self._swap.stale(files):
            return
        await aside(lambda: self._swap.stage(files))
        if files == self._checked:
            return
        problems = await check(self._swap.staged, self._tools.promtool, self._tools.amtool)
        if problems:
            raise SyncError(Result.CHECK, "\n".join(problems))
        self._checked = files

    async def _commit(self, files: Mapping[str, str]) -> int:
        """Swap the staged files in if they differ from those in place; return how many do."""
        differing = self._swap.differing(files)
        if differing:
            await self._tell()
        changed = self._swap.commit(files)
        folders = {name.partition("/")[0] for name in differing}
        self._due |= {server for server in self._servers if folders & set(server.folders)}
        return len(changed)

    async def _tell(self) -> None:
        """Have exporters and sentinels know the new truth before the rules do.

        The rules make the alert of a service that was taken out end. A sentinel that does not know yet that it
        was taken out would call that a recovery.
        """
        deaf = await tell(self._session, (*self._settings.exporters, *self._settings.sentinels))
        if deaf:
            self._log.info("could not be told, waiting until they have looked for themselves", daemons=deaf)
            await self._sleep(POLL_INTERVAL)

    async def _reload(self, truth: Truth) -> None:
        """Reload whoever is due, and take everything back if one refuses."""
        unreached = []
        for server in [server for server in self._servers if server in self._due]:
            try:
                await reload(self._session, server)
                if server.shows_rules:
                    await verify(self._session, server, truth.sha256)
            except RefusedError as error:
                raise SyncError(Result.REFUSED, f"{error}\n{await self._take_back()}") from None
            except UnreachedError as error:
                unreached.append(str(error))
            else:
                self._due.discard(server)
        # What one of a pair has taken is good; waiting for the other would keep ever older files for `undo`.
        took = {server.name for server in self._servers if server not in self._due}
        if took == {server.name for server in self._servers}:
            self._swap.confirm()
        if unreached:
            raise SyncError(Result.UNREACHED, "\n".join(unreached))

    async def _take_back(self) -> str:
        """Put the old files back and have every server take them up; return what was done, in words."""
        try:
            names = self._swap.undo()
        except OSError as error:
            return f"the old files could not be put back: {error}"
        self._due = set(self._servers)
        if not names:
            return "the files were like that before, so there is nothing to put back"
        said = ["the old files are back"]
        for server in self._servers:
            try:
                await reload(self._session, server)
            except (RefusedError, UnreachedError) as error:
                said.append(f"but {error}")
        return ", ".join(said)
