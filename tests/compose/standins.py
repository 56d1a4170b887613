"""Stand-ins for the images that docker-compose.yml names, for an engine that cannot pull: built from Debian packages.

Debian's programs in the place of upstream's, under upstream's names, with upstream's entry points and users. Grafana has
no such package: its stand-in only says that it is well.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from healer.stack.servers import find

if TYPE_CHECKING:
    from .engine import Engine

ROOT = Path(__file__).parents[2]
BASE_RELEASE, SERVERS_RELEASE = "trixie", "forky"
PACKAGES = "python3,python3-pip,python3-venv,redis-server,prometheus-node-exporter,wget,ca-certificates"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")

HEALTHY = """\
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'{"database": "ok"}')
http.server.ThreadingHTTPServer(("", 3000), Answer).serve_forever()
"""

RECIPES = {
    "python:3.13-slim-trixie": """
        COPY wheels /wheels
        RUN ln -s /usr/bin/python3 /usr/local/bin/python && printf '[global]\\nno-index = true\\nfind-links = /wheels\\n' > /etc/pip.conf
        CMD ["python"]""",
    "redis:8.0.6": """
        RUN install -d -o redis -g redis /data
        WORKDIR /data
        CMD ["redis-server"]""",
    "prom/prometheus:v3.5.3": """
        COPY prometheus /opt/server
        RUN install -d -o 65534 -g 65534 /prometheus
        WORKDIR /opt/server
        USER 65534:65534
        ENTRYPOINT ["/opt/server/bin/prometheus"]""",
    "prom/alertmanager:v0.33.1": """
        COPY alertmanager /opt/server
        RUN install -d -o 65534 -g 65534 /alertmanager
        WORKDIR /opt/server
        USER 65534:65534
        ENTRYPOINT ["/opt/server/bin/prometheus-alertmanager"]""",
    "prom/node-exporter:v1.9.1": """
        USER 65534:65534
        ENTRYPOINT ["/usr/bin/prometheus-node-exporter"]""",
    "grafana/grafana:12.3.0": """
        COPY healthy.py /
        RUN install -d -o 472 -g 0 /var/lib/grafana
        USER 472:0
        ENTRYPOINT ["python3", "/healthy.py"]""",
}
"""What is put on top of the base, by the image's name."""


def provide(engine: Engine, names: set[str], healer: str) -> None:
    """Have the engine hold a stand-in for each of `names`, and `healer`, built by the Dockerfile from them."""
    unknown = names - RECIPES.keys()
    assert not unknown, f"docker-compose.yml names images that have no stand-in in {__file__}: {unknown}"
    with tempfile.TemporaryDirectory(prefix="healer-images-") as folder:
        base = _base(engine, Path(folder))
        context = _context(Path(folder) / "context")
        for name in sorted(names | {"python:3.13-slim-trixie"}):
            recipe = "\n".join(line.strip() for line in RECIPES[name].splitlines())
            _build(engine, name, context, f"FROM {base}\n{recipe}\n")
    _build(engine, healer, ROOT, None)


def _base(engine: Engine, folder: Path) -> str:
    """Return the image of a small Debian with all packages; made once, for it takes a minute and 150 MB."""
    made_of = hashlib.sha256(f"{BASE_RELEASE} {PACKAGES}".encode()).hexdigest()[:12]
    name = f"healer-standin-base:{made_of}"
    if engine.docker("image", "inspect", name, check=False).returncode != 0:
        root = folder / "root"
        said = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", BASE_RELEASE, root],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-1000:]
        for idle in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / idle, ignore_errors=True)
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            assert tar.stdout is not None
            engine.docker("import", "-", name, stdin=tar.stdout.fileno())
        shutil.rmtree(root)
    return name


def _context(folder: Path) -> Path:
    """Gather what the recipes copy: Debian's servers, a page that says it is well, and the wheels of Healer's lock."""
    servers = find(SERVERS_RELEASE)
    for name, server in (("prometheus", servers.prometheus), ("alertmanager", servers.alertmanager)):
        assert server.directory is not None
        shutil.copytree(server.directory, folder / name, symlinks=True)
    (folder / "healthy.py").write_text(HEALTHY)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version=3.13"]
    pip += [f"--platform={name}" for name in PLATFORMS] + ["--dest", str(folder / "wheels")]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    builder = next(line for line in lock.splitlines() if line.startswith("hatchling=="))
    for wanted in (
        ["--require-hashes", "-r", str(ROOT / "requirements.runtime.lock")],
        [builder.split(" ")[0], "editables"],
    ):
        said = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr[-3000:]
    return folder


def _build(engine: Engine, name: str, context: Path, dockerfile: str | None) -> None:
    if dockerfile is None:
        argv = ["docker", "build", "--quiet", "--tag", name, str(context)]
    else:
        argv = ["docker", "build", "--quiet", "--tag", name, "--file", "-", str(context)]
    # The builder that is part of the engine; BuildKit would want a plugin.
    said = subprocess.run(
        argv,
        input=dockerfile, capture_output=True, text=True, check=False,
        env={**engine.environment, "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    assert said.returncode == 0, (name, said.stdout[-3000:], said.stderr[-3000:])
