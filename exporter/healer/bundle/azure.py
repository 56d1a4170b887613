"""Azure Monitor: where Prometheus writes the `health_*` series to, as whom, and what it costs at most."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

import yaml

from healer.bundle.errors import BundleError
from healer.notify.people import file_path

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES = (
    "health_crash_count",
    "health_critical",
    "health_disk_usage",
    "health_heartbeat_age",
    "health_heartbeat_missing",
    "health_memory_usage",
    "health_service_active",
    "health_warning",
)
"""All that is ever sent, as `rules/azure.rules.yml` records it."""
INTERVAL_SECONDS = 60.0
"""Time between two samples of a series: each is paid for."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_PREFIX = "AZURE_MONITOR_"
_Kind = TypeVar("_Kind", bound=StrEnum)


class Auth(StrEnum):
    """As whom Prometheus writes."""

    MANAGED_IDENTITY = "managed-identity"
    WORKLOAD_IDENTITY = "workload-identity"
    OAUTH2 = "oauth2"


class Cloud(StrEnum):
    """Which Azure, by the name that Prometheus knows it by."""

    PUBLIC = "AzurePublic"
    GOVERNMENT = "AzureGovernment"
    CHINA = "AzureChina"


_SINCE = {Auth.MANAGED_IDENTITY: (2, 45), Auth.WORKLOAD_IDENTITY: (2, 52), Auth.OAUTH2: (2, 27)}
_NAMED_WORKLOAD_IDENTITY_SINCE = (3, 7)
_LOGIN = {
    Cloud.PUBLIC: "https://login.microsoftonline.com",
    Cloud.GOVERNMENT: "https://login.microsoftonline.us",
    Cloud.CHINA: "https://login.chinacloudapi.cn",
}
_AUDIENCE = {
    Cloud.PUBLIC: "https://monitor.azure.com",
    Cloud.GOVERNMENT: "https://monitor.azure.us",
    Cloud.CHINA: "https://monitor.azure.cn",
}


@dataclass(frozen=True, slots=True)
class Azure:
    """An Azure Monitor workspace.

    Attributes:
        url: Its metrics ingestion endpoint.
        auth: As whom Prometheus writes.
        client_id: The identity's client id; empty where the pod's environment names it.
        tenant_id: The tenant's id; empty where it is not needed.
        client_secret_file: With `oauth2`: the file that holds the secret, as Prometheus sees it; absolute.
        token_url: With `oauth2`: where tokens are had; empty: from Entra ID, by tenant and cloud.
        cloud: Which Azure.
    """

    url: str
    auth: Auth
    client_id: str = ""
    tenant_id: str = ""
    client_secret_file: str = ""
    token_url: str = ""
    cloud: Cloud = Cloud.PUBLIC

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self | None:
        """Read the variables `AZURE_MONITOR_*`; None if none of them is set.

        Raises:
            BundleError: They cannot be used; all problems at once.
        """
        given = {
            name.removeprefix(_PREFIX): text.strip()
            for name, text in env.items()
            if name.startswith(_PREFIX) and text.strip()
        }
        if not given:
            return None
        problems = [
            f"{_PREFIX}{name} is none of the variables: expected one of {', '.join(sorted(_VARIABLES))}."
            for name in sorted(set(given) - _VARIABLES - {"CLIENT_SECRET"})
        ]
        if "CLIENT_SECRET" in given:
            problems.append(
                "AZURE_MONITOR_CLIENT_SECRET is a secret and would end up in files and process lists: write it to a"
                " file that only Prometheus may read, set AZURE_MONITOR_CLIENT_SECRET_FILE to its path, and unset it."
            )
        azure = cls(
            url=given.get("URL", ""),
            auth=_choice(Auth, given, "AUTH", problems),
            client_id=given.get("CLIENT_ID", ""),
            tenant_id=given.get("TENANT_ID", ""),
            client_secret_file=file_path(env, f"{_PREFIX}CLIENT_SECRET_FILE", problems),
            token_url=given.get("TOKEN_URL", ""),
            cloud=_choice(Cloud, given, "CLOUD", problems),
        )
        problems += [*_wrong_urls(azure), *_wrong_ids(azure), *_wrong_oauth2(azure, given)]
        if problems:
            raise BundleError(problems)
        return azure

    def unknown_to(self, version: tuple[int, int]) -> list[str]:
        """Return why a Prometheus of this version cannot write as told; empty if it can."""
        since = _SINCE[self.auth]
        if version < since:
            problem = (
                f"Prometheus {version[0]}.{version[1]} cannot write with a {self.auth}. If yours is"
                f" {since[0]}.{since[1]} or newer, and no package of Debian's or Ubuntu's, which leave `azuread` out,"
                f" say so: --prometheus-version {since[0]}.{since[1]}. If not: AZURE_MONITOR_AUTH=oauth2."
            )
            return [problem]
        if self.auth is Auth.WORKLOAD_IDENTITY and version >= _NAMED_WORKLOAD_IDENTITY_SINCE:
            return [
                f"AZURE_MONITOR_{name} is not set, but Prometheus {version[0]}.{version[1]} needs it for a"
                " workload-identity: set it."
                for name, value in (("CLIENT_ID", self.client_id), ("TENANT_ID", self.tenant_id))
                if not value
            ]
        return []

    def remote_write(self, version: tuple[int, int]) -> str:
        """Return the section `remote_write` as YAML, for a Prometheus of this version at least."""
        section = {
            "name": "azure-monitor",
            "url": self.url,
            **self._access(version),
            "write_relabel_configs": [
                {"source_labels": ["__name__"], "regex": "|".join(SERIES), "action": "keep"},
            ],
            # Names and help texts of every series there is, whatever is kept above.
            "metadata_config": {"send": False},
            "queue_config": {
                "max_shards": 10,
                "capacity": 5000,
                "max_samples_per_send": 1000,
                "min_backoff": "1s",
                "max_backoff": "30s",
                # Azure says so when too much comes at once; otherwise what it turned away would be lost.
                "retry_on_http_429": True,
            },
        }
        text: str = yaml.safe_dump({"remote_write": [section]}, sort_keys=False, width=10**9)
        return text

    def _access(self, version: tuple[int, int]) -> dict[str, Any]:
        if self.auth is Auth.OAUTH2:
            login = f"{_LOGIN[self.cloud]}/{self.tenant_id}/oauth2/v2.0/token"
            return {
                "oauth2": {
                    "client_id": self.client_id,
                    "client_secret_file": self.client_secret_file,
                    "scopes": [f"{_AUDIENCE[self.cloud]}/.default"],
                    "token_url": self.token_url or login,
                }
            }
        identity: dict[str, Any]
        if self.auth is Auth.MANAGED_IDENTITY:
            identity = {"managed_identity": {"client_id": self.client_id}}
        elif version >= _NAMED_WORKLOAD_IDENTITY_SINCE:
            identity = {"workload_identity": {"client_id": self.client_id, "tenant_id": self.tenant_id}}
        else:
            # The SDK finds the workload's identity in the variables that AKS gives its pods.
            identity = {"sdk": {"tenant_id": self.tenant_id} if self.tenant_id else {}}
        return {"azuread": {"cloud": self.cloud.value, **identity}}


_VARIABLES = {"URL", "AUTH", "CLIENT_ID", "TENANT_ID", "CLIENT_SECRET_FILE", "TOKEN_URL", "CLOUD"}


def _choice(kind: type[_Kind], given: Mapping[str, str], name: str, problems: list[str]) -> _Kind:
    default = next(iter(kind))
    text = given.get(name, default.value)
    if text in set(kind):
        return kind(text)
    problems.append(f"{_PREFIX}{name} is {text!r}: expected one of {', '.join(kind)}.")
    return default


def _wrong_urls(azure: Azure) -> list[str]:
    problems = (
        [] if azure.url else ["AZURE_MONITOR_URL is not set, but others of AZURE_MONITOR_* are: set it."]
    )
    for name, url in (("URL", azure.url), ("TOKEN_URL", azure.token_url)):
        if url and (fault := _fault(url)):
            # Not repeated: there may be a password in it.
            problems.append(
                f"AZURE_MONITOR_{name} {fault}: expected an https:// URL without user and password; http:// to"
                " loopback alone, for the token would cross the network in the clear."
            )
    return problems


def _fault(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if not host or not url.isprintable() or " " in url:
        return "is no URL"
    if parts.username is not None or parts.password is not None:
        return "has a user or password in it"
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        return "is not https://"
    return ""


def _wrong_ids(azure: Azure) -> list[str]:
    ids = (("CLIENT_ID", azure.client_id), ("TENANT_ID", azure.tenant_id))
    problems = [
        f"AZURE_MONITOR_{name} is {value!r}: expected an id such as 00000000-0000-0000-0000-000000000000."
        for name, value in ids
        if value and not _UUID.fullmatch(value)
    ]
    if not azure.client_id and azure.auth is not Auth.WORKLOAD_IDENTITY:
        problems.append(
            f"AZURE_MONITOR_CLIENT_ID is not set, but {azure.auth} needs it: the clientId of the identity that has the"
            " role Monitoring Metrics Publisher."
        )
    return problems


def _wrong_oauth2(azure: Azure, given: Mapping[str, str]) -> list[str]:
    if azure.auth is not Auth.OAUTH2:
        return [
            f"AZURE_MONITOR_{name} goes with AZURE_MONITOR_AUTH=oauth2 only: unset it, or set that."
            for name in ("CLIENT_SECRET_FILE", "TOKEN_URL")
            if name in given
        ]
    problems = []
    if not azure.client_secret_file and "CLIENT_SECRET" not in given:
        problems.append(
            "AZURE_MONITOR_CLIENT_SECRET_FILE is not set, but oauth2 needs it: the file with the secret."
        )
    if not azure.tenant_id and not azure.token_url:
        problems.append(
            "AZURE_MONITOR_TENANT_ID is not set, but oauth2 needs it to know where tokens are had."
        )
    return problems
