"""Secrets that an old Alertmanager cannot read from a file: into a file that nobody else may read, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.receivers import secret

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://discord.com/api/webhooks/1/planted-secret"


def bundle(tmp_path: Path, output: str, *options: str, servers=None) -> subprocess.CompletedProcess[str]:
    truth = '{"services": {"healer": {"access_points": {"subscribe_to": [{"bus": "b", "key": "rss_agg:heartbeat"}]}}}}'
    path = secret(tmp_path / "url", URL)
    command = [sys.executable, "-m", "healer", "bundle", "--truth", "-", "--output", output, *options]
    env = {**os.environ, "DISCORD_WEBHOOK_URL_FILE": str(path)}
    return subprocess.run(
        command, input=truth, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_file_is_ours_alone_and_whats_beside_it_holds_none(tmp_path: Path) -> None:
    done = bundle(tmp_path, str(tmp_path / "out"), "--inline-secrets")
    assert done.returncode == 0, done.stderr
    files = {path.name: path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert [name for name, path in files.items() if "planted-secret" in path.read_text()] == [
        "alertmanager.yml"
    ]
    assert files["alertmanager.yml"].stat().st_mode & 0o777 == 0o600
    assert files["healer.tmpl"].stat().st_mode & 0o777 == 0o644
    assert "planted-secret" not in done.stdout + done.stderr


def test_a_new_alertmanager_reads_the_file_and_no_secret_is_written(tmp_path: Path) -> None:
    done = bundle(tmp_path, str(tmp_path / "out"), "--inline-secrets", "--alertmanager-version", "0.33.1")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out/alertmanager/alertmanager.yml").read_text()
    assert f"webhook_url_file: {tmp_path / 'url'}" in text
    assert "planted-secret" not in text


def test_without_the_option_it_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    done = bundle(tmp_path, str(tmp_path / "out"))
    assert done.returncode == 1
    assert "--alertmanager-version 0.28" in done.stderr
    assert "--inline-secrets" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_in_a_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    done = bundle(tmp_path, str(tmp_path / "deep/out"), "--inline-secrets")
    assert done.returncode == 1
    assert "is in the repository" in done.stderr
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("options", [("--check",), ("--diff",), ("--format", "kubernetes")])
def test_it_goes_with_nothing_that_would_show_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = bundle(tmp_path, str(tmp_path / "out"), "--inline-secrets", *options)
    assert done.returncode == 2
    assert bundle(tmp_path, "-", "--inline-secrets").returncode == 2
    assert "planted-secret" not in done.stdout + done.stderr
