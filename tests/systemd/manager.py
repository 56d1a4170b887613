"""Systemds of our own with a journal each, in namespaces from which nothing reaches the machine's files or its systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CGROUPS = Path("/sys/fs/cgroup")
START_SECONDS = 20
NEEDED = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "systemctl": "systemd",
    "systemd-analyze": "systemd",
}

BOOT = r"""
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
# The machine's own units: with them, a boot would clean up in its folders and start its services.
mkdir -p /run/units /run/systemd/system /run/systemd/journald.conf.d
install -d -m 2755 -g systemd-journal /run/log/journal
cp /lib/systemd/system/systemd-journald.service /lib/systemd/system/systemd-journald.socket /run/units
mount --bind /run/units /lib/systemd/system
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' > /run/systemd/journald.conf.d/ours.conf
for target in bare sysinit basic network-online shutdown; do
  printf '[Unit]\nDefaultDependencies=no\n' > /run/systemd/system/$target.target
done
printf 'Wants=systemd-journald.service\n' >> /run/systemd/system/bare.target
"""
EXEC = r"""
exec env -i container=healer PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=bare.target --log-target=journal --show-status=no
"""


@dataclass(frozen=True)
class Systemd:
    """A systemd that runs.

    Attributes:
        pid: By which its namespaces are entered.
    """

    pid: str

    def run(self, *argv: str, **given: object) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        env = {**os.environ, "SYSTEMD_IGNORE_CHROOT": "1"}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            ["nsenter", f"--target={self.pid}", "--all", *argv],
            capture_output=True, text=True, check=False, env=env, **{"timeout": 60, **given},
        )  # fmt: skip

    def shell(self, text: str) -> str:
        """Run a script inside; return what it printed, and fail where it does."""
        done = self.run("/bin/sh", "-ec", text)
        assert done.returncode == 0, (text, done.stdout[-1000:], done.stderr[-2000:])
        return done.stdout


@contextlib.contextmanager
def systemd(more: str = "", *, network: bool = False) -> Iterator[Systemd]:
    """Start one.

    Args:
        more: What else to mount, before it starts.
        network: Whether it has a network of its own, in which every port is free.
    """
    missing = [f"{name} ({package})" for name, package in NEEDED.items() if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.fail(f"only root can start a systemd, and it takes these programs: {missing}", pytrace=False)
    root = CGROUPS / "unified" if (CGROUPS / "unified").is_dir() else CGROUPS
    group = root / f"healer-test-{os.getpid()}"
    group.mkdir()
    unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--cgroup"]
    unshare += ["--net"] if network else []
    into = ["/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "boot"]
    boot = subprocess.Popen([*into, *unshare, "/bin/sh", "-ec", BOOT + more + EXEC], stdin=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while True:
            assert boot.poll() is None, "systemd did not start"
            assert time.monotonic() - began < START_SECONDS, "systemd is not ready"
            inside = Path(f"/proc/{boot.pid}/task/{boot.pid}/children").read_text().split()
            if (
                inside
                and Systemd(inside[0]).run("systemctl", "is-system-running").stdout.strip() == "running"
            ):
                break
            time.sleep(0.1)
        yield Systemd(inside[0])
    finally:
        boot.kill()
        boot.wait()
        _remove(group)


def _remove(group: Path) -> None:
    for _ in range(100):
        try:
            for folder in sorted(group.rglob("*/"), reverse=True):
                folder.rmdir()
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
