"""The processes' manifests are ones that Kubernetes takes, and what the bundle's manifests look for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner

from healer.autoheal.settings import Settings as AutohealSettings
from healer.bundle import Settings, render
from healer.bundle.kubernetes import Placement, manifests
from healer.cli import main
from healer.truth.load import load_file

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kustomize"
RESOURCES = [
    folder / name
    for folder in (FOLDER, FOLDER / "autoheal")
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
]
OBJECTS: dict[str, dict[str, Any]] = {
    f"{each['kind']}/{each['metadata']['name']}": each
    for path in RESOURCES
    for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
}
PODS = {
    name: each["spec"]["template"] for name, each in OBJECTS.items() if each["kind"] in {"Deployment", "Job"}
}
VERSIONS = ["1.28", "1.34"]


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(name: str, version: str) -> None:
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_the_bundle_makes_of_its_own_kinds(version: str) -> None:
    files = manifests(render(load_file(ROOT / "truth.json", {}).truth, Settings()), Settings(), Placement())
    own = [each for each in map(yaml.safe_load, files.values()) if each["apiVersion"] == "v1"]
    assert {each["kind"] for each in own} == {"ConfigMap", "Secret"}
    for each in own:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("part", ["exporter", "sentinel", "autoheal"])
def test_a_monitor_finds_the_service_and_that_the_pods(part: str) -> None:
    settings = Settings(autoheals=("healer-autoheal:9009",))
    files = manifests(render(load_file(ROOT / "truth.json", {}).truth, settings), settings, Placement())
    monitor = yaml.safe_load(files[f"kubernetes/{part}.servicemonitor.yml"])["spec"]
    service = OBJECTS[f"Service/healer-{part}"]
    wanted = monitor["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert (
        service["spec"]["selector"].items() <= PODS[f"Deployment/healer-{part}"]["metadata"]["labels"].items()
    )
    (port,) = service["spec"]["ports"]
    assert port["name"] == monitor["endpoints"][0]["port"]
    if part == "sentinel":
        assert Placement().sentinel == f"{service['metadata']['name']}:{port['port']}"


def test_autoheal_is_one_that_is_off_until_somebody_says_otherwise() -> None:
    assert all("autoheal" not in path.name for path in RESOURCES if path.parent == FOLDER), (
        "the base has none"
    )
    deployment = OBJECTS["Deployment/healer-autoheal"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    (container,) = deployment["template"]["spec"]["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert AutohealSettings.from_env({}).live is AutohealSettings.from_env(env).live is False
    volumes = {each["name"]: each for each in deployment["template"]["spec"]["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    assert mounts["/tokens"]["secret"]["defaultMode"] & 0o007 == 0, "others may not read it, or it is refused"
    assert deployment["template"]["spec"]["securityContext"]["fsGroup"] == 10001
    claim = mounts["/var/lib/healer"]["persistentVolumeClaim"]["claimName"]
    assert f"PersistentVolumeClaim/{claim}" in OBJECTS, "the record outlives the pod"
    assert "STATE_DIRECTORY=/var/lib/healer" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_rights_that_it_does_not_need(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", PODS)
def test_what_it_runs_exists_with_its_options(name: str) -> None:
    (container,) = PODS[name]["spec"]["containers"]
    path = [word for word in container["args"][:2] if re.fullmatch(r"[a-z]+", word)]
    shown = CliRunner().invoke(main, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in container["args"] if word.startswith("--"))
