"""A systemd of its own. Run by `make test-systemd`; `make test` leaves these out, for only root can start one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless they are asked for by name."""
    return None if any("systemd" in str(argument) for argument in config.invocation_params.args) else True
