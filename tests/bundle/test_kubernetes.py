"""Manifests: the same rules and routes, where the Prometheus Operator looks for them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.bundle.conftest import EXAMPLE

from healer.bundle import BundleError, Settings, render, write
from healer.bundle.kubernetes import Placement, manifests

if TYPE_CHECKING:
    from pathlib import Path

    from healer.stack.servers import Servers

FILES = render(EXAMPLE, Settings())
RULES = [name.split("/")[1].split(".")[0] for name in FILES if name.startswith("rules/")]
PLACE = Placement.of("monitoring", ("release=kube-prometheus-stack", "example.com/team=sre"))


def made(placement: Placement = PLACE, **files: str) -> dict[str, Any]:
    """Manifests by kind and name."""
    documents = [yaml.safe_load(text) for text in manifests(FILES | files, Settings(), placement).values()]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents}


def test_everything_the_operator_needs_is_there_and_placed() -> None:
    rules = {f"PrometheusRule/healer-{name}" for name in RULES}
    assert rules >= {"PrometheusRule/healer-heartbeat", "PrometheusRule/healer-heartbeat-slo"}
    assert set(made()) == rules | {
        "Secret/healer-alertmanager",
        "ServiceMonitor/healer-exporter",
        "ServiceMonitor/healer-sentinel",
    } | {f"ConfigMap/healer-dashboard-{name}" for name in ("autoheal", "healer", "heartbeats", "service")}
    for manifest in made().values():
        assert manifest["metadata"]["namespace"] == "monitoring"
        found = {"grafana_dashboard": "1"} if manifest["kind"] == "ConfigMap" else {}
        assert manifest["metadata"]["labels"] == found | {
            "app.kubernetes.io/name": "healer",
            "example.com/team": "sre",
            "release": "kube-prometheus-stack",
        }


def test_the_rules_in_a_manifest_pass_promtool(servers: Servers, tmp_path: Path) -> None:
    for name in ("autoheal", "heartbeat", "heartbeat-slo"):
        path = tmp_path / f"{name}.yml"
        path.write_text(yaml.safe_dump(made()[f"PrometheusRule/healer-{name}"]["spec"], allow_unicode=True))
        command = [servers.promtool.path, "check", "rules", "--lint=all", "--lint-fatal", path]
        subprocess.run(command, check=True, capture_output=True)
        assert yaml.safe_load(path.read_text()) == yaml.safe_load(FILES[f"rules/{name}.rules.yml"])


def test_the_secret_holds_alertmanager_s_configuration_and_templates_word_for_word() -> None:
    secret = made()["Secret/healer-alertmanager"]
    assert secret["apiVersion"] == "v1"
    assert secret["stringData"] == {
        "alertmanager.yaml": FILES["alertmanager/alertmanager.yml"].replace(
            "- templates/*.tmpl", "- /etc/alertmanager/config/*.tmpl"
        ),
        "healer.tmpl": FILES["alertmanager/templates/healer.tmpl"],
    }


@pytest.mark.parametrize(("part", "job"), [("exporter", "heartbeat"), ("sentinel", "sentinel")])
def test_a_monitor_names_the_job_as_the_rules_do(part: str, job: str) -> None:
    monitor = made()[f"ServiceMonitor/healer-{part}"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == part
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["interval"] == "5s"
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": job}]


def test_an_autoheal_is_scraped_where_there_is_one() -> None:
    settings = Settings(autoheals=("autoheal:9009",), autoheal_credentials="/etc/prometheus/secrets/token")
    texts = manifests(render(EXAMPLE, settings), settings, PLACE)
    (endpoint,) = yaml.safe_load(texts["kubernetes/autoheal.servicemonitor.yml"])["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "autoheal"}]
    assert endpoint["bearerTokenFile"] == "/etc/prometheus/secrets/token"


def test_every_manifest_can_be_told_from_what_others_wrote(tmp_path: Path) -> None:
    files = manifests(FILES, Settings(), PLACE)
    write(files, tmp_path)
    changed = {name: f"{text}# more\n" for name, text in files.items()}
    assert write(changed, tmp_path) == sorted(changed)


def test_any_dashboard_becomes_a_config_map_that_grafana_finds() -> None:
    dashboard = '{"title": "Fleet",\n "rows": ["# no comment"]}\n'
    found = made(**{"grafana/dashboards/fleet.json": dashboard})["ConfigMap/healer-dashboard-fleet"]
    assert found["data"] == {"fleet.json": dashboard}
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_without_a_namespace_it_is_that_of_whoever_applies_them() -> None:
    assert all("namespace" not in each["metadata"] for each in made(Placement()).values())
    assert Placement().sentinel == "healer-sentinel:9878"
    assert PLACE.sentinel == "healer-sentinel.monitoring.svc:9878"


def test_what_has_no_place_in_a_cluster_is_refused() -> None:
    with pytest.raises(BundleError, match="nothing of this has a place in a cluster"):
        manifests({"promtool-tests/services.yml": "tests: []\n"}, Settings(), PLACE)


def test_names_that_kubernetes_would_refuse_are_refused_at_once() -> None:
    with pytest.raises(BundleError) as caught:
        Placement.of("Mon_itoring", ("=x", "a=b c"))
    assert len(caught.value.problems) == 3
    with pytest.raises(BundleError, match="label 'release' has no value"):
        Placement.of(None, ("release",))
