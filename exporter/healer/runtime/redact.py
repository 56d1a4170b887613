"""What may be shown of a URL that can hold a password."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def safe_url(url: str) -> str:
    """Return `url` without user, password, query and fragment; `redis://host:6379/0` stays as it is."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return "<unreadable URL>"
    # Before an empty host urlunsplit leaves the slashes out: unix:///run/redis.sock.
    return shown.replace(":/", ":///", 1) if parts.scheme == "unix" and not host else shown
