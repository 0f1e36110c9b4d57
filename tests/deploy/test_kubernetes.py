"""The Kubernetes manifests: valid by the published schemas, and as closed as Pod Security's `restricted`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import hqgnet
from hqgnet.data.site_config import load_site_config
from server.federation import load_federation

pytestmark = pytest.mark.deploy
SCHEMA_VERSION = "1.32"
KUSTOMIZATIONS = ("server", "site", "site-gpu")


@pytest.fixture(scope="session")
def kubernetes(deploy: Path) -> Path:
    return deploy / "kubernetes"


def documents(folder: Path) -> list[dict[str, Any]]:
    """Return the manifests that a kustomization lists, as they stand in its files."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[dict[str, Any]] = []
    for resource in kustomization["resources"]:
        path = folder / resource
        found += documents(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    return found


def everything(kubernetes: Path) -> list[dict[str, Any]]:
    provision = yaml.safe_load((kubernetes / "server/provision.yaml").read_text())
    return [*documents(kubernetes / "server"), *documents(kubernetes / "site"), provision]


def of_kind(kind: str, manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(kubernetes: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in everything(kubernetes):
        if manifest["kind"] in ("StatefulSet", "Deployment"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
        elif manifest["kind"] == "Pod":
            yield manifest["metadata"]["name"], manifest["spec"]


def test_manifests_are_valid(kubernetes: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for manifest in everything(kubernetes):
        validate.validate(manifest, SCHEMA_VERSION, strict=True)


def test_the_schemas_notice_a_wrong_key(kubernetes: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    [deployment] = of_kind("Deployment", documents(kubernetes / "site"))
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRoot"] = True
    with pytest.raises(validate.ValidationError):
        validate.validate(deployment, SCHEMA_VERSION, strict=True)


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_kustomize_builds_it_and_the_result_is_valid(kubernetes: Path, name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    built = subprocess.run([kubectl, "kustomize", str(kubernetes / name)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    manifests = list(yaml.safe_load_all(built.stdout))
    for manifest in manifests:
        validate.validate(manifest, SCHEMA_VERSION, strict=True)
    gpus = [
        container["resources"]["limits"].get("nvidia.com/gpu")
        for manifest in of_kind("Deployment", manifests)
        for container in manifest["spec"]["template"]["spec"]["containers"]
    ]
    assert gpus == {"server": [], "site": [None], "site-gpu": [1]}[name]


def test_every_pod_is_closed(kubernetes: Path) -> None:
    for name, pod in pods(kubernetes):
        assert pod["automountServiceAccountToken"] is False, name
        assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), name
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True and context["runAsUser"] == 10001, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
        assert not any("hostPath" in volume for volume in pod["volumes"]), name


def test_namespaces_enforce_the_restricted_standard(kubernetes: Path) -> None:
    namespaces = of_kind("Namespace", everything(kubernetes))
    assert len(namespaces) == 2
    for namespace in namespaces:
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_included(kubernetes: Path) -> None:
    assert of_kind("Secret", everything(kubernetes)) == []
    for file in kubernetes.rglob("*.yaml"):
        assert "PRIVATE KEY" not in file.read_text()


def test_a_site_talks_to_the_server_and_to_nobody_else(kubernetes: Path) -> None:
    [policy] = of_kind("NetworkPolicy", documents(kubernetes / "site"))
    spec = policy["spec"]
    assert spec["podSelector"] == {} and set(spec["policyTypes"]) == {"Ingress", "Egress"}
    assert spec["ingress"] == []
    names, server = spec["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    [target] = server["to"]
    assert target["ipBlock"]["cidr"].endswith("/32")
    site = load_site_config(kubernetes / "site/hospital.yaml")
    assert site.server is not None
    assert [port["port"] for port in server["ports"]] == [site.server.port]


def test_the_server_is_reached_through_nginx_alone(kubernetes: Path) -> None:
    manifests = documents(kubernetes / "server")
    [policy] = of_kind("NetworkPolicy", manifests)
    assert policy["spec"]["egress"] == []
    [rule] = policy["spec"]["ingress"]
    [(name, pod)] = [entry for entry in pods(kubernetes) if entry[0] == "hqgnet-server"]
    ports = {
        container["name"]: [port["containerPort"] for port in container.get("ports", [])]
        for container in pod["containers"]
    }
    assert ports == {"server": [], "proxy": [port["port"] for port in rule["ports"]]}
    federation = load_federation(kubernetes / "server/federation.yaml")
    assert federation.server.host == "127.0.0.1"
    assert federation.server.address.endswith(":443")
    proxy = next(container for container in pod["containers"] if container["name"] == "proxy")
    volume = Path("/var/lib/hqgnet")
    mounted = {volume / mount["subPath"] for mount in proxy["volumeMounts"] if "subPath" in mount}
    assert mounted == {federation.ca_certificate, federation.server_certificate, federation.server_key}
    assert name == "hqgnet-server"


def test_images_are_this_version(kubernetes: Path) -> None:
    tags = [
        image["newTag"]
        for name in ("server", "site")
        for image in yaml.safe_load((kubernetes / name / "kustomization.yaml").read_text())["images"]
    ]
    assert set(tags) == {hqgnet.__version__}
    provision = yaml.safe_load((kubernetes / "server/provision.yaml").read_text())
    assert provision["spec"]["containers"][0]["image"] == f"hqgnet-server:{hqgnet.__version__}"
