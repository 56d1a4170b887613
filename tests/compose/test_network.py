"""On the network of others, with buses that are theirs: what is Healer's comes, and goes without touching the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .conftest import LABEL, Deployment, until

if TYPE_CHECKING:
    from .engine import Engine

OURS = ("bootstrap", "healer", "sentinel", "bundle", "prometheus", "alertmanager", "grafana")
THEIRS = ("system-redis", "market-redis")


def test_it_joins_the_network_of_others_and_leaves_it_as_it_was(engine: Engine) -> None:
    deployment = Deployment(engine, {"MARKETSWARM_BUS_EXTERNAL": "true"})
    deployment.compose("down", "--volumes")
    engine.docker("network", "create", "marketswarm-bus")
    try:
        for bus in THEIRS:
            name = ["--detach", "--rm", "--name", f"healer-test-{bus}", "--network", "marketswarm-bus"]
            server = ["redis-server", "--protected-mode", "no"]
            engine.docker("run", *name, "--network-alias", bus, "redis:8.0.6", *server)
        deployment.up("--no-deps", *OURS)
        assert {
            each["Config"]["Labels"]["com.docker.compose.service"] for each in deployment.containers()
        } == set(OURS)
        up = 'heartbeat_bus_up{bus="system-redis",job="heartbeat"}'
        until(lambda: deployment.query(up) == {"healer:9877": 1.0}, 60)
        deployment.compose("down", "--volumes")
        assert engine.docker("ps", "--all", "--quiet", "--filter", LABEL).stdout == ""
        (network,) = json.loads(engine.docker("network", "inspect", "marketswarm-bus").stdout)
        assert {each["Name"] for each in network["Containers"].values()} == {
            f"healer-test-{bus}" for bus in THEIRS
        }
    finally:
        deployment.compose("down", "--volumes", check=False)
        engine.docker("rm", "--force", *(f"healer-test-{bus}" for bus in THEIRS), check=False)
        engine.docker("network", "rm", "marketswarm-bus", check=False)
