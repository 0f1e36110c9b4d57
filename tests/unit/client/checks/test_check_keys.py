"""The kit's files: the site's private key and the authority's certificate."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from client.checks.certificates import check_authority
from client.checks.key import check_key
from hqgnet.data.site_server import ServerConnection
from server.provision.site_keys import make_key_pair
from tests.unit.client.checks.loopback import Authority, write_site_key


def connection(folder: Path) -> ServerConnection:
    return ServerConnection(address="localhost:8443", ca=folder / "ca.pem", key=folder / "site-1.key")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_the_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    file = write_site_key(tmp_path / "site-1.key")
    printed = subprocess.run(["ssh-keygen", "-lf", file], capture_output=True, text=True, check=True).stdout
    bits, fingerprint, *_, kind = printed.split()
    (finding,) = check_key(connection(tmp_path), "site-1")
    assert (finding.state, finding.detail) == ("ok", f"{bits} {fingerprint} {kind}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    write_site_key(tmp_path / "site-1.key", mode=mode)
    finding, key = check_key(connection(tmp_path), "site-1")
    assert finding.state == "problem" and f"mode {mode:04o}" in finding.detail
    assert finding.remedy.startswith("chmod 600")
    assert key.state == "ok"


@pytest.mark.parametrize(
    ("key", "state", "words"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "problem", "not an elliptic-curve"),
        (ec.generate_private_key(ec.SECP256R1()), "warning", "secp256r1"),
    ],
)
def test_a_key_of_another_kind(tmp_path: Path, key: Any, state: str, words: str) -> None:
    write_site_key(tmp_path / "site-1.key", key)
    (finding,) = check_key(connection(tmp_path), "site-1")
    assert finding.state == state and words in finding.detail


def test_a_key_in_another_format(tmp_path: Path) -> None:
    how = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(serialization.Encoding.PEM, *how)
    (tmp_path / "site-1.key").write_bytes(key)
    (tmp_path / "site-1.key").chmod(0o600)
    (finding,) = check_key(connection(tmp_path), "site-1")
    assert finding.state == "problem" and "no OpenSSH private key" in finding.detail
    assert "PRIVATE KEY" not in finding.detail


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "a passphrase", "-f"]
    subprocess.run([*command, tmp_path / "site-1.key"], check=True)
    (finding,) = check_key(connection(tmp_path), "site-1")
    assert finding.state == "problem" and "without passphrase" in finding.detail


def test_a_missing_key(tmp_path: Path) -> None:
    (finding,) = check_key(connection(tmp_path), "site-1")
    assert finding.state == "problem" and "No such file" in finding.detail


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_authoritys_fingerprint_is_the_one_that_openssl_prints(tmp_path: Path) -> None:
    file = Authority().write(tmp_path / "ca.pem")
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", file]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (finding,) = check_authority(connection(tmp_path))
    assert finding.state == "ok" and printed.strip().split("=")[1] in finding.detail


@pytest.mark.parametrize(
    ("first_day", "last_day", "state", "words"),
    [
        (-9, 365, "ok", "valid until"),
        (-9, 29, "warning", "valid until"),
        (-9, -1, "problem", "expired"),
        (2, 365, "problem", "valid only from"),
    ],
)
def test_the_authoritys_days(tmp_path: Path, first_day: int, last_day: int, state: str, words: str) -> None:
    Authority(first_day=first_day, last_day=last_day).write(tmp_path / "ca.pem")
    (finding,) = check_authority(connection(tmp_path))
    assert finding.state == state and words in finding.detail


def test_a_servers_certificate_is_no_authority(tmp_path: Path) -> None:
    certificate, _ = Authority().server(tmp_path)
    certificate.rename(tmp_path / "ca.pem")
    (finding,) = check_authority(connection(tmp_path))
    assert finding.state == "problem" and "not an authority's" in finding.detail


def test_a_self_signed_certificate_of_a_proxy_at_the_hospital_will_do(tmp_path: Path) -> None:
    authority = Authority(is_authority=False)
    authority.write(tmp_path / "ca.pem")
    (finding,) = check_authority(connection(tmp_path))
    assert finding.state == "ok"


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (finding,) = check_authority(connection(tmp_path))
    assert finding.state == "problem" and "no certificate" in finding.detail


def test_a_key_that_the_kit_gave_to_another_site(tmp_path: Path) -> None:
    pair, others = make_key_pair("retina", "site-2"), make_key_pair("retina", "site-3")
    (tmp_path / "site-1.key").write_bytes(pair.private)
    (tmp_path / "site-1.key").chmod(0o600)
    public = tmp_path / "site-1.pub"
    public.write_bytes(pair.public)
    key, name = check_key(connection(tmp_path), "site-1")
    assert key.state == "ok" and name.state == "problem"
    assert (
        name.detail == "this site is called site-1, but its key was given to site-2: the server leaves it out"
    )
    assert name.remedy == "Write name: site-2, or take this site's own key"
    # Nothing is known where the kit's public key is away, or is another's.
    for content in (others.public, b"", pair.public.rpartition(b" ")[0]):
        public.write_bytes(content)
        assert len(check_key(connection(tmp_path), "site-1")) == 1
    public.write_bytes(pair.public)
    assert len(check_key(connection(tmp_path), "site-2")) == 1
