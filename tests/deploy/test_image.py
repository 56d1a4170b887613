"""The Dockerfile is one that hadolint has nothing against, and installs what the lock says and no more."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def pins(name: str) -> set[str]:
    return set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_needs_no_frontend_from_a_registry_and_does_not_run_as_root() -> None:
    assert not re.search(r"^#\s*syntax\s*=", TEXT, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", TEXT, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["healer"\]$', TEXT, re.MULTILINE)


def test_the_lock_of_the_image_is_part_of_the_one_that_is_tested() -> None:
    runtime = pins("requirements.runtime.lock")
    assert runtime < pins("requirements.lock")
    assert not {pin for pin in runtime if pin.startswith(("pytest", "grafana", "docker", "mypy"))}


def test_everything_that_is_copied_gets_into_the_context() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE) for word in line.split()
    ]
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in copied)
