"""The compose files: well formed, closed, and agreeing with what provisioning makes."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import hqgnet
from server.federation import load_federation

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
SITES = ("site-1", "site-2", "site-3")


def with_defaults(text: str) -> str:
    """Fill in what an unset environment gives."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def compose(deploy: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(with_defaults((deploy / "docker/compose.yaml").read_text()))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def kit() -> dict[str, Any]:
    template = string.Template((ROOT / "server/provision/templates/compose.yaml").read_text())
    loaded = yaml.safe_load(
        with_defaults(template.substitute(site="site-1", federation="retina", version="0.1.0"))
    )
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(params=["compose", "kit"])
def either(request: pytest.FixtureRequest) -> dict[str, Any]:
    loaded: dict[str, Any] = request.getfixturevalue(request.param)
    return loaded


def test_it_follows_the_compose_specification(either: dict[str, Any]) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="pip install compose-spec")
    read = compose_spec.PyCompose.from_yaml(yaml.safe_dump(either))
    read.validate()
    assert set(read.service_names()) == set(either["services"])


def test_docker_compose_itself_takes_it(deploy: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not installed")
    file = deploy / "docker/compose.yaml"
    ran = subprocess.run([docker, "compose", "-f", str(file), "config", "-q"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_every_service_is_closed(either: dict[str, Any]) -> None:
    for name, service in either["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"] and "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert not service.get("privileged") and "pid" not in service and "ipc" not in service, name
        assert any(entry.startswith("/tmp") for entry in service["tmpfs"]), name
        assert not any("docker.sock" in str(volume) for volume in service.get("volumes", [])), name


def test_one_port_is_published_and_on_loopback(compose: dict[str, Any], kit: dict[str, Any]) -> None:
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert published == {"server": ["127.0.0.1:9443:9443"]}
    assert not any("ports" in service for service in kit["services"].values())


def test_hospitals_reach_nginx_alone(compose: dict[str, Any]) -> None:
    """The SuperLink stays on the loopback of a network namespace that it shares with nginx alone."""
    services = compose["services"]
    assert services["proxy"]["network_mode"] == "service:server"
    assert compose["networks"]["hospitals"] == {"internal": True}
    for site in SITES:
        assert services[site]["networks"] == ["hospitals"]
    sharing = [name for name, service in services.items() if "network_mode" in service]
    assert sharing == ["proxy"]


def test_the_federation_file_agrees(deploy: Path, compose: dict[str, Any]) -> None:
    federation = load_federation(deploy / "docker/federation.yaml")
    assert federation.server.host == "127.0.0.1"
    assert tuple(site.name for site in federation.sites) == SITES
    [alias] = compose["services"]["server"]["networks"]["hospitals"]["aliases"]
    assert federation.server.address == f"{alias}:9443"
    home = deploy / "docker/home"
    assert federation.home == home
    secrets = {name: deploy / "docker" / entry["file"] for name, entry in compose["secrets"].items()}
    assert secrets["ca"].resolve() == federation.ca_certificate
    assert secrets["server-certificate"].resolve() == federation.server_certificate
    assert secrets["server-key"].resolve() == federation.server_key


def test_secrets_are_files_and_each_site_has_its_own(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert "environment" not in service, f"{name}: nothing secret goes through the environment"
        sources = {secret["source"] for secret in service.get("secrets", [])}
        if name in SITES:
            assert sources == {"ca", f"{name}-key"}
        targets = [secret["target"] for secret in service.get("secrets", [])]
        assert all(
            target.startswith(("/etc/hqgnet/keys/", "/etc/hqgnet-proxy/hqgnet/")) for target in targets
        )


def test_images_are_mounted_read_only(compose: dict[str, Any], kit: dict[str, Any]) -> None:
    sites = [compose["services"][site] for site in SITES] + [kit["services"]["site"]]
    for service in sites:
        mounts = [volume.split(":") for volume in service["volumes"]]
        writable = [mount[1] for mount in mounts if len(mount) == 2]
        assert writable == ["/etc/hqgnet/work"]


def test_image_tags_are_this_version(compose: dict[str, Any]) -> None:
    assert {service["image"].partition(":")[2] for service in compose["services"].values()} == {
        hqgnet.__version__
    }
