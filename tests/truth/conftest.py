"""A document to start from, and what is read out of one."""

from __future__ import annotations

import json

import pytest

from healer.truth.load import parse


@pytest.fixture
def load():
    """Load a document given as a Python object."""

    def load(document, **env):
        return parse(json.dumps(document), env=env)

    return load


@pytest.fixture
def wiring():
    """Build a document of services that Healer subscribes to, all on system-redis."""

    def wiring(services=None, *, watch=("rss_agg",), section="services", healer=None, **others):
        entries = [
            entry if isinstance(entry, dict) else {"bus": "system-redis", "key": f"{entry}:heartbeat"}
            for entry in watch
        ]
        own = {"access_points": {"subscribe_to": entries}, **(healer or {})}
        return {section: {**(services or {}), "healer": own}, **others}

    return wiring
