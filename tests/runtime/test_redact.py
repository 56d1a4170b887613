"""What is shown of a URL."""

from __future__ import annotations

import pytest

from healer.runtime.redact import safe_url

URLS = [
    ("redis://host:6379/0", "redis://host:6379/0"),
    ("rediss://user:hunter2@host/0?password=hunter2#hunter2", "rediss://host/0"),
    ("redis://:hunter2@[::1]:6379", "redis://[::1]:6379"),
    ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("unix://user:hunter2@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ("redis://:hunter2@[::1", "<unreadable URL>"),
]


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_a_url_is_shown_as_it_is_written_but_for_its_secrets(url: str, shown: str) -> None:
    assert safe_url(url) == shown
