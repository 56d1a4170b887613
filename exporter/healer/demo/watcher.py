"""`healer bundle --watch` as a process of a world: with its settings, and the tools that the servers came with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from healer.stack import stack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from healer.bundle import Settings
    from healer.stack.servers import Servers


def watcher(
    servers: Servers, directory: Path, port: int, environment: Mapping[str, str], settings: Settings
) -> stack.Server:
    """Return a process that keeps `bundle` in `directory` in step with the truth in Redis.

    Args:
        servers: Where promtool and amtool are.
        directory: Folder for its log and of the bundle.
        port: Where it listens.
        environment: Where the truth is.
        settings: Of the world; its first Prometheus and Alertmanager are reloaded.
    """
    folders = [servers.promtool.path.parent, servers.amtool.path.parent, os.environ.get("PATH", os.defpath)]
    options = [
        "--watch",
        "--truth=redis",
        f"--output={directory / 'bundle'}",
        f"--prometheus-url=http://{settings.prometheus[0]}",
        f"--alertmanager-url=http://{settings.alertmanagers[0]}",
        *(f"--exporter={address}" for address in settings.exporters),
        *(f"--sentinel={address}" for address in settings.sentinels),
        f"--scrape-interval={settings.scrape_interval}",
        f"--evaluation-interval={settings.evaluation_interval}",
        f"--resend-delay={settings.resend_delay}",
        f"--group-interval={settings.group_interval}",
    ]
    path = ":".join(map(str, folders))
    return stack.healer(
        "bundle", directory, port, {**environment, "PATH": path}, name="watcher", options=options
    )
