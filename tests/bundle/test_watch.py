"""What fails is tried again, ever more rarely, said once, and shown."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from tests.bundle.conftest import EXAMPLE

from healer.bundle.source import FileSource
from healer.bundle.sync import Result, SyncError
from healer.bundle.watch import LONGEST_PAUSE, WatchCollector, Watcher
from healer.runtime.clock import SystemClock

if TYPE_CHECKING:
    from healer.truth.model import Truth

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


class Stage:
    """A watcher of a file, the results of its syncs decided beforehand, and its pauses noted."""

    def __init__(self, folder: Path, *results: Result) -> None:
        self.path = folder / "truth.json"
        self.path.write_text("{}")
        self.pauses: list[float] = []
        self.synced: list[bytes] = []
        self._results = iter(results)
        self.over = asyncio.Event()
        self.registry = CollectorRegistry()
        self.watcher = Watcher(
            FileSource(self.path), self._sync, SystemClock(), self.registry, sleep=self._sleep
        )
        self.registry.register(WatchCollector(self.watcher))

    async def _sync(self, raw: bytes, _: str) -> Truth:
        self.synced.append(raw)
        result = next(self._results, Result.SUCCESS)
        if result is not Result.SUCCESS:
            raise SyncError(result, f"no: {result}")
        self.over.set()
        return EXAMPLE

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def retried(self) -> None:
        """Retry until a sync succeeds."""
        task = asyncio.create_task(self.watcher.retry())
        await self.over.wait()
        task.cancel()

    def samples(self) -> dict[str, float]:
        text = generate_latest(self.registry).decode()
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


async def test_a_prometheus_that_is_down_is_tried_again_ever_more_rarely_and_said_once(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, *[Result.UNREACHED] * 10)
    with capture_logs() as logs:
        assert await stage.watcher.reload() == "no: unreached"
        assert stage.watcher.waiting_for() == "no: unreached"
        await stage.retried()
    assert len(stage.pauses) == 10
    assert all(
        0.75 * wanted <= pause <= wanted
        for wanted, pause in zip((1, 2, 4, 8, 16, 32), stage.pauses, strict=False)
    )
    assert max(stage.pauses) <= LONGEST_PAUSE
    assert [line["event"] for line in logs] == ["sync failed", "sync succeeds again"]
    assert stage.watcher.waiting_for() is None
    samples = stage.samples()
    assert samples["bundle_syncs_total unreached"] == 10
    assert samples["bundle_syncs_total success"] == 1
    assert samples["bundle_last_sync_successful"] == 1


async def test_another_reason_is_said_as_well(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Result.UNREACHED, Result.REFUSED, Result.REFUSED)
    with capture_logs() as logs:
        await stage.watcher.reload()
        await stage.retried()
    assert [line.get("result") for line in logs] == ["unreached", "refused", None]


async def test_a_truth_that_does_not_load_waits_for_an_edit(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Result.TRUTH)
    await stage.watcher.reload()
    task = asyncio.create_task(stage.watcher.retry())
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    assert len(stage.synced) == 1
    assert stage.samples()["bundle_last_sync_successful"] == 0


async def test_a_truth_that_cannot_be_read_does_not_end_the_retries_of_the_last(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Result.UNREACHED)
    await stage.watcher.reload()
    stage.path.unlink()
    assert "truth.json" in (await stage.watcher.reload() or "")
    await stage.retried()
    assert stage.synced == [b"{}", b"{}"]


async def test_the_metrics_are_those_documented(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.samples()["bundle_last_sync_success_timestamp_seconds"] == 0
    assert await stage.watcher.reload() is None
    text = generate_latest(stage.registry).decode()
    exposed = {
        sample.name: ("gauge" if family.type == "info" else family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    rows = re.findall(r"^\| `(bundle_\w+)` \| (\w+) \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE)
    documented = {
        name: (kind, frozenset(label.strip() for label in labels.split(",") if label.strip()))
        for name, kind, labels in rows
    }
    assert exposed == documented
    for result in Result:
        assert f"`{result}`" in DOCS.read_text()
