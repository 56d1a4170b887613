"""Truth in, files out: rules, their tests, and the configuration of Prometheus and Alertmanager.

Use `render`, then `write` (or `stale` to only compare), then `validate`.
"""

from healer.bundle.errors import BundleError
from healer.bundle.files import stale, write
from healer.bundle.render import render
from healer.bundle.settings import Settings
from healer.bundle.validate import validate
from healer.notify.people import People, Webhook

__all__ = ["BundleError", "People", "Settings", "Webhook", "render", "stale", "validate", "write"]
