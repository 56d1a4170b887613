"""Alertmanager's receivers: the sentinels, and the people as configured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from healer.bundle.errors import BundleError
from healer.bundle.shape import reminder_interval
from healer.bundle.text import duration, number
from healer.notify.people import Webhook, team_key
from healer.runtime import secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from healer.bundle.settings import Settings
    from healer.notify.people import Hook, People
    from healer.truth.model import Truth

_URL_FILES_SINCE = {Webhook.SLACK: (0, 22), Webhook.GENERIC: (0, 26), Webhook.DISCORD: (0, 28)}
_URL_KEYS = {Webhook.SLACK: "api_url", Webhook.GENERIC: "url", Webhook.DISCORD: "webhook_url"}
_SECTIONS = {Webhook.SLACK: "slack", Webhook.GENERIC: "webhook", Webhook.DISCORD: "discord"}
_WEBHOOK_TIMEOUT_SINCE = (0, 28)
_PASSWORDS_TRIMMED_SINCE = (0, 27)
_WEB_URL = re.compile(r"https?://[^\s/]\S*")


def teams(truth: Truth, settings: Settings) -> list[str]:
    """Return the teams in `truth` that are told instead of everyone; sorted.

    Raises:
        BundleError: `settings` name one that no service or host has.
    """
    every = {service.team for service in truth.services} | {host.team for host in truth.hosts}
    named = sorted(team for team in every if team)
    known = {team_key(name): name for name in named}
    if unknown := sorted(set(settings.people.teams) - set(known)):
        there = f"There are: {', '.join(named)}." if named else "No service has a `team`."
        raise BundleError(
            f"TEAM_{key}_… is set, and no service is of such a team. {there}" for key in unknown
        )
    return [name for name in named if settings.people.of_team(name)]


def receivers(truth: Truth, settings: Settings) -> str:
    """Return the list of receivers as YAML: `people`, `sentinel`, `watchdog`, those of teams and of autoheal.

    Raises:
        BundleError: The oldest Alertmanager named in `settings` cannot do what is asked for without a secret
            in the file.
    """
    people = settings.people
    groups = {"people": people, "autoheal-notify": people}
    groups |= {f"people-{team}": people.of_team(team) or people for team in teams(truth, settings)}
    listed = [
        *_sentinels(settings, "sentinel", send_resolved=True),
        *_sentinels(settings, "watchdog", send_resolved=False),
        *(_people(name, group, settings) for name, group in groups.items()),
    ]
    if settings.autoheals:
        for name, resolved in (("autoheal", True), ("watchdog-autoheal", False)):
            listed.append({"name": name, "webhook_configs": _autoheals(settings, send_resolved=resolved)})
    text: str = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=10**9)
    return text


def numbered(name: str, targets: Sequence[str]) -> list[str]:
    """Return the names of the receivers for `targets`: `name`, `name-2` and so on."""
    return [name if index == 1 else f"{name}-{index}" for index in range(1, len(targets) + 1)]


def _sentinels(settings: Settings, name: str, *, send_resolved: bool) -> list[dict[str, Any]]:
    # The sentinel has to know how often it is told again what is still missing.
    repeat = number(reminder_interval(settings))
    access = _access(settings.sentinel_credentials)
    return [
        {
            "name": receiver,
            "webhook_configs": [
                {
                    "url": f"http://{target}/webhook?repeat={repeat}",
                    "send_resolved": send_resolved,
                    "max_alerts": 0,
                    **access,
                }
            ],
        }
        for receiver, target in zip(numbered(name, settings.sentinels), settings.sentinels, strict=True)
    ]


def _autoheals(settings: Settings, *, send_resolved: bool) -> list[dict[str, Any]]:
    access = _access(settings.autoheal_credentials)
    return [
        {"url": f"http://{target}/alert", "send_resolved": send_resolved, "max_alerts": 0, **access}
        for target in settings.autoheals
    ]


def _access(credentials: str) -> dict[str, Any]:
    return {"http_config": {"authorization": {"credentials_file": credentials}}} if credentials else {}


def _people(name: str, people: People, settings: Settings) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": name}
    for hook in people.hooks:
        receiver[f"{_SECTIONS[hook.kind]}_configs"] = [_hook(hook, people, settings)]
    if people.smtp_host:
        receiver["email_configs"] = [_mail(people, settings)]
    return receiver


def _hook(hook: Hook, people: People, settings: Settings) -> dict[str, Any]:
    config = {**_address(hook, settings), "send_resolved": True}
    if hook.kind is Webhook.GENERIC:
        if settings.alertmanager_version >= _WEBHOOK_TIMEOUT_SINCE:
            config["timeout"] = duration(people.webhook_timeout)
        return config
    title = _call(f"{hook.kind}.title")
    if hook.kind is Webhook.DISCORD:
        return {**config, "title": title, "message": _call("discord.text")}
    return {
        **config,
        "username": "Healer",
        "color": '{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}',
        "fallback": title,
        "title": title,
        "title_link": "",
        "text": _call("slack.text"),
        "footer": "",
        # Names are data: without this, what is between two underscores would be set in italics.
        "mrkdwn_in": ["pretext"],
    }


def _address(hook: Hook, settings: Settings) -> dict[str, str]:
    """Return the key that tells Alertmanager where `hook` is."""
    key = _URL_KEYS[hook.kind]
    version, since = settings.alertmanager_version, _URL_FILES_SINCE[hook.kind]
    if version >= since:
        return {f"{key}_file": hook.file}
    if not settings.inline_secrets:
        problem = (
            f"Alertmanager {version[0]}.{version[1]} cannot read the URL of a {hook.kind} webhook from a file. If"
            f" yours is {since[0]}.{since[1]} or newer, say so: --alertmanager-version {since[0]}.{since[1]}. If not,"
            " have its configuration made at its start, in a folder that only it can read: --inline-secrets."
        )
        raise BundleError([problem])
    try:
        url = secrets.read(Path(hook.file))
    except secrets.SecretError as error:
        raise BundleError([str(error)]) from None
    if not _WEB_URL.fullmatch(url):
        raise BundleError([f"{hook.file}: what is in it is no http:// or https:// URL."])
    return {key: url}


def _call(name: str) -> str:
    return f'{{{{ template "healer.{name}" . }}}}'


def _mail(people: People, settings: Settings) -> dict[str, Any]:
    if settings.alertmanager_version < _PASSWORDS_TRIMMED_SINCE and _ends_in_space(people.smtp_pass_file):
        problem = (
            f"SMTP_PASS_FILE: {people.smtp_pass_file} ends in a newline, which Alertmanager before 0.27 sends as a part of"
            " the password: write it without, as `printf %s` does, or say --alertmanager-version if yours is newer."
        )
        raise BundleError([problem])
    config: dict[str, Any] = {
        "to": ", ".join(people.smtp_to),
        "from": people.smtp_from,
        "smarthost": f"{people.smtp_host}:{people.smtp_port}",
        "send_resolved": True,
        "headers": {"Subject": _call("mail.subject")},
        "html": _call("mail.html"),
        "text": _call("mail.text"),
    }
    if people.smtp_user:
        config |= {"auth_username": people.smtp_user, "auth_password_file": people.smtp_pass_file}
    if people.smtp_ca_file:
        config["tls_config"] = {"ca_file": people.smtp_ca_file}
    return config


def _ends_in_space(path: str) -> bool:
    try:
        return path != "" and Path(path).read_bytes()[-1:].isspace()
    except OSError:  # it is where Alertmanager runs
        return False
