"""Alertmanager's receivers: the sentinels, and the people as configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from healer.bundle.errors import BundleError
from healer.bundle.settings import Webhook
from healer.bundle.shape import reminder_interval
from healer.bundle.text import duration, number

if TYPE_CHECKING:
    from healer.bundle.settings import People, Settings

_URL_FILES_SINCE = {Webhook.SLACK: (0, 22), Webhook.GENERIC: (0, 26), Webhook.DISCORD: (0, 28)}
_WEBHOOK_TIMEOUT_SINCE = (0, 28)

_TITLE = (
    '{{ if eq .Status "resolved" }}Resolved: {{ end }}{{ .CommonLabels.alertname }} {{ .CommonLabels.bus }}'
)
_BODY = "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Annotations.description }} {{ .Annotations.runbook_url }}\n{{ end }}"


def receivers(settings: Settings) -> str:
    """Return the list of receivers as YAML: `people`, `sentinel`, `watchdog`, and those of autoheal.

    Raises:
        BundleError: The oldest Alertmanager named in `settings` cannot do what is asked for without a secret
            in the file.
    """
    listed = [
        _people(settings.people, settings.alertmanager_version),
        {"name": "sentinel", "webhook_configs": _sentinels(settings, send_resolved=True)},
        {
            "name": "watchdog",
            "webhook_configs": [
                *_sentinels(settings, send_resolved=False),
                *_autoheals(settings, send_resolved=False),
            ],
        },
        {**_people(settings.people, settings.alertmanager_version), "name": "autoheal-notify"},
    ]
    if settings.autoheals:
        listed.append({"name": "autoheal", "webhook_configs": _autoheals(settings, send_resolved=True)})
    text: str = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=10**9)
    return text


def _sentinels(settings: Settings, *, send_resolved: bool) -> list[dict[str, Any]]:
    # The sentinel has to know how often it is told again what is still missing.
    repeat = number(reminder_interval(settings))
    access = _access(settings.sentinel_credentials)
    return [
        {
            "url": f"http://{target}/webhook?repeat={repeat}",
            "send_resolved": send_resolved,
            "max_alerts": 0,
            **access,
        }
        for target in settings.sentinels
    ]


def _autoheals(settings: Settings, *, send_resolved: bool) -> list[dict[str, Any]]:
    access = _access(settings.autoheal_credentials)
    return [
        {"url": f"http://{target}/alert", "send_resolved": send_resolved, "max_alerts": 0, **access}
        for target in settings.autoheals
    ]


def _access(credentials: str) -> dict[str, Any]:
    return {"http_config": {"authorization": {"credentials_file": credentials}}} if credentials else {}


def _people(people: People, version: tuple[int, int]) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": "people"}
    if people.webhook:
        receiver |= _webhook(people, people.webhook, version)
    if people.smtp_host:
        receiver["email_configs"] = [_mail(people)]
    return receiver


def _webhook(people: People, kind: Webhook, version: tuple[int, int]) -> dict[str, Any]:
    since = _URL_FILES_SINCE[kind]
    if version < since:
        problem = (
            f"Alertmanager {version[0]}.{version[1]} cannot read the URL of a {kind} webhook from a file, and"
            f" Healer writes no secret into its files: run Alertmanager {since[0]}.{since[1]} or newer and say so"
            " in alertmanager_version, or use Slack or mail."
        )
        raise BundleError([problem])
    if kind is Webhook.GENERIC:
        config: dict[str, Any] = {"url_file": people.webhook_file, "send_resolved": True}
        if version >= _WEBHOOK_TIMEOUT_SINCE:
            config["timeout"] = duration(people.webhook_timeout)
        return {"webhook_configs": [config]}
    if kind is Webhook.SLACK:
        return {
            "slack_configs": [
                {"api_url_file": people.webhook_file, "send_resolved": True, "title": _TITLE, "text": _BODY}
            ]
        }
    return {
        "discord_configs": [
            {
                "webhook_url_file": people.webhook_file,
                "send_resolved": True,
                "title": _TITLE,
                "message": _BODY,
            }
        ]
    }


def _mail(people: People) -> dict[str, Any]:
    config: dict[str, Any] = {
        "to": ", ".join(people.smtp_to),
        "from": people.smtp_from,
        "smarthost": f"{people.smtp_host}:{people.smtp_port}",
        "send_resolved": True,
    }
    if people.smtp_user:
        config |= {"auth_username": people.smtp_user, "auth_password_file": people.smtp_pass_file}
    return config
