"""A kit as the hospital finds it: read by the programs that will read it."""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from flwr.cli.supernode.register import try_load_public_key
from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication

from hqgnet import __version__
from hqgnet.data.site_config import load_site_config
from hqgnet.errors import ConfigurationError
from server.federation import Federation
from server.provision.folders import Content
from server.provision.kit import KitOptions
from server.provision.provision import provision
from server.provision.site_keys import fingerprint_of, make_key_pair


@pytest.fixture
def kit(make_federation: Callable[..., Federation], tmp_path: Path) -> Path:
    provision(make_federation(), KitOptions(tmp_path / "kits"))
    return tmp_path / "kits" / "site-1"


def test_a_kit_is_whole_and_closed(kit: Path) -> None:
    modes = {str(path.relative_to(kit)): stat.S_IMODE(path.stat().st_mode) for path in sorted(kit.rglob("*"))}
    assert modes == {
        "README.md": 0o644,
        "compose.yaml": 0o644,
        "hqgnet-site.service": 0o644,
        "site.yaml": 0o644,
        "keys": 0o700,
        "keys/ca.pem": 0o644,
        "keys/site-1.key": 0o600,
        "keys/site-1.pub": 0o644,
    }
    assert stat.S_IMODE(kit.stat().st_mode) == 0o700


def test_flower_itself_takes_both_halves_of_the_key(kit: Path) -> None:
    arguments = argparse.Namespace(
        auth_supernode_private_key=str(kit / "keys" / "site-1.key"), auth_supernode_public_key=None
    )
    pair = _try_setup_client_authentication(arguments)
    assert pair is not None and pair[0].curve.name == "secp384r1"
    registered = try_load_public_key(kit / "keys" / "site-1.pub")
    assert load_pem_public_key(registered) == pair[1]


def test_the_sites_yaml_is_one_that_the_client_takes(kit: Path) -> None:
    config = load_site_config(kit / "site.yaml")
    assert (config.name, config.modality, config.channels) == ("site-1", "fundus", 3)
    assert config.server is not None
    assert config.server.address == "federation.example.org:8443"
    assert config.server.ca == kit / "keys" / "ca.pem" and config.server.ca.is_file()
    assert config.server.key == kit / "keys" / "site-1.key" and config.server.key.is_file()
    assert config.images.lq == kit / "images" / "lq"
    assert config.work == kit / "work"


@pytest.mark.parametrize(
    ("site", "address"), [("'1'", "[::1]:8443"), ("'null'", "10.0.0.1:1"), ("'1e3'", "h:1")]
)
def test_names_that_yaml_would_take_for_something_else(
    make_federation: Callable[..., Federation], tmp_path: Path, site: str, address: str
) -> None:
    options = KitOptions(tmp_path / "kits", modality="ccm", channels=1)
    provision(make_federation(site, address=address), options)
    config = load_site_config(tmp_path / "kits" / site.strip("'") / "site.yaml")
    assert config.name == site.strip("'")
    assert config.server is not None and config.server.address == address
    assert (config.modality, config.channels) == ("ccm", 1)


def test_the_page_tells_fingerprints_as_the_tools_show_them(kit: Path) -> None:
    page = (kit / "README.md").read_text()
    authority = x509.load_pem_x509_certificate((kit / "keys" / "ca.pem").read_bytes())
    digest = hashlib.sha256(authority.public_bytes(Encoding.DER)).hexdigest().upper()
    assert ":".join(digest[i : i + 2] for i in range(0, 64, 2)) in page.splitlines()
    blob = base64.b64decode((kit / "keys" / "site-1.pub").read_text().split()[1])
    fingerprint = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert f"SHA256:{fingerprint}" in page.splitlines()
    for name in ("check", "approve", "up"):
        assert f"hqgnet-client {name} site.yaml" in page.splitlines()
    named = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert named == {str(path.relative_to(kit)) for path in kit.rglob("*") if path.is_file()}
    if shutil.which("openssl"):
        shown = run(
            "openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(kit / "keys" / "ca.pem")
        )
        assert shown.strip().split("=")[1] in page
    if shutil.which("ssh-keygen"):
        shown = run("ssh-keygen", "-lf", str(kit / "keys" / "site-1.pub"))
        assert shown.split()[1] in page and shown.split()[2] == "site-1@retina"
        assert (
            run("ssh-keygen", "-yf", str(kit / "keys" / "site-1.key")).split()[1]
            in (kit / "keys" / "site-1.pub").read_text()
        )


def test_the_container_gets_no_more_than_it_needs(kit: Path) -> None:
    compose = yaml.safe_load((kit / "compose.yaml").read_text())
    [service] = compose["services"].values()
    assert service["image"] == f"hqgnet-site:{__version__}"
    assert "ports" not in service and "privileged" not in service
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["user"] == "${HQGNET_UID:-1000}:${HQGNET_GID:-1000}"
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == ["./work:/etc/hqgnet/work"]
    assert "./images:/etc/hqgnet/images:ro" in service["volumes"]
    assert [*service["entrypoint"], *service["command"]] == ["hqgnet-client", "up", "/etc/hqgnet/site.yaml"]


def test_the_service_is_confined(kit: Path) -> None:
    lines = (kit / "hqgnet-site.service").read_text().splitlines()
    for line in (
        "ExecStart=/opt/hqgnet/bin/hqgnet-client up /etc/hqgnet/site.yaml",
        "User=hqgnet",
        "Restart=always",
        "RestartSec=15",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "CapabilityBoundingSet=",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "KillMode=mixed",
        "TimeoutStopSec=30",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("ReadWritePaths")] == [
        "ReadWritePaths=/etc/hqgnet/work"
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_service(kit: Path, tmp_path: Path) -> None:
    program = shutil.which("true")
    assert program is not None  # the client itself is not installed where the unit says
    unit = tmp_path / "hqgnet-site.service"
    text = (kit / "hqgnet-site.service").read_text()
    unit.write_text(text.replace("/opt/hqgnet/bin/hqgnet-client", program))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    assert "hqgnet-site.service" not in verified.stderr


def test_a_bundle_comes_along_with_its_hash(
    make_federation: Callable[..., Federation], tmp_path: Path
) -> None:
    bundle = tmp_path / "some.fab"
    bundle.write_bytes(b"PK\x03\x04 code")
    provision(make_federation(), KitOptions(tmp_path / "kits", bundle=bundle))
    kit = tmp_path / "kits" / "site-2"
    assert (kit / "hqgnet.fab").read_bytes() == bundle.read_bytes()
    page = (kit / "README.md").read_text()
    assert hashlib.sha256(bundle.read_bytes()).hexdigest() in page.splitlines()
    assert "| `hqgnet.fab` |" in page


@pytest.mark.parametrize(("size", "says"), [(None, "cannot be read"), (0, "is empty"), (10_000_001, "10 MB")])
def test_a_useless_bundle_is_refused_before_anything_is_made(
    make_federation: Callable[..., Federation], tmp_path: Path, size: int | None, says: str
) -> None:
    bundle = tmp_path / "some.fab"
    if size is not None:
        bundle.write_bytes(b"x" * size)
    federation = make_federation()
    with pytest.raises(ConfigurationError, match=says):
        provision(federation, KitOptions(tmp_path / "kits", bundle=bundle))
    assert not (tmp_path / "kits").exists()
    assert not federation.ca_key.exists()


def test_client_certificates_come_when_asked(
    make_federation: Callable[..., Federation], tmp_path: Path
) -> None:
    provision(make_federation(extra="client_certificates: true"), KitOptions(tmp_path / "kits"))
    keys = tmp_path / "kits" / "site-1" / "keys"
    assert stat.S_IMODE((keys / "client.key").stat().st_mode) == 0o600
    assert b"BEGIN CERTIFICATE" in (keys / "client.pem").read_bytes()
    page = (keys.parent / "README.md").read_text()
    assert "| `keys/client.pem` |" in page and "| `keys/client.key` |" in page


def test_a_key_is_in_no_representation_and_no_error(kit: Path, tmp_path: Path) -> None:
    pair = make_key_pair("retina", "site-1")
    secret = pair.private.splitlines()[2].decode()
    assert secret not in repr(pair) and secret not in repr(Content(pair.private, private=True))
    broken = tmp_path / "broken.pub"
    broken.write_bytes(pair.private)
    with pytest.raises(ConfigurationError) as caught:
        fingerprint_of(broken)
    assert secret not in str(caught.value)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
