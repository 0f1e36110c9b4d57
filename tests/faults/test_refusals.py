"""What a hospital or the server turns away: certificates, keys, code, and what the policy forbids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from server.provision.certificates import certificate_pem, make_authority
from server.provision.site_keys import make_key_pair
from tests.faults.consortium import Consortium, rows, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def provisioned(consortium_factory: Callable[..., Consortium]) -> Consortium:
    """With its server running."""
    made = consortium_factory()
    made.start_server()
    return made


@pytest.fixture
def consortium(provisioned: Consortium) -> Iterator[Consortium]:
    """Its hospitals are stopped after each test; the server stays, so that each test stands by itself."""
    yield provisioned
    for daemon in provisioned.daemons.values():
        daemon.terminate()


def test_an_expired_certificate_is_refused_and_renewed(consortium: Consortium) -> None:
    """The server does not start with it until it is renewed."""
    assert consortium.server is not None
    consortium.server.terminate()
    home = consortium.root / "home"
    file = home / "tls" / "server.pem"
    file.write_bytes(expired(file, home / "ca" / "ca.key"))
    refused = consortium.command("server.cli", "up", str(consortium.file), code=10)
    assert "expired on" in refused and "renew" in refused
    consortium.command("server.cli", "renew", str(consortium.file), "server", "--out", str(consortium.kits))
    consortium.start_server()


def expired(certificate: Path, authority_key: Path) -> bytes:
    """The same certificate, of the same authority, but of last year."""
    valid = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    builder = x509.CertificateBuilder(
        valid.issuer,
        valid.subject,
        valid.public_key(),
        x509.random_serial_number(),
        datetime.now(UTC) - timedelta(days=400),
        datetime.now(UTC) - timedelta(days=30),
        list(valid.extensions),
    )
    key = load_pem_private_key(authority_key.read_bytes(), None)
    return builder.sign(key, SHA384()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


def test_foreign_certificates_and_keys(
    consortium: Consortium, experiment_factory: Callable[..., Path]
) -> None:
    """Site 2 knows another authority, site 3 has a key that nobody registered: neither joins."""
    run = "foreign"
    for name in consortium.names:
        consortium.complete_kit(name)
        consortium.approve(name)
    foreign = consortium.kits / "site-2" / "keys" / "ca.pem"
    unregistered = consortium.kits / "site-3" / "keys" / "site-3.key"
    right = {file: file.read_bytes() for file in (foreign, unregistered)}
    foreign.write_bytes(certificate_pem(make_authority("another", 30).certificate))
    unregistered.write_bytes(make_key_pair("faults", "site-3").private)
    for name in consortium.names:
        consortium.start_site(name)
    settings = {"expected_sites": 1, "minimum_sites": 1}
    running = consortium.run(experiment_factory(run, settings, enhance=2))
    for name, reason in (("site-2", "compare fingerprints"), ("site-3", "key is not registered")):
        daemon = consortium.daemons[name]
        wait_until(lambda daemon=daemon, reason=reason: reason in daemon.text, 60, f"{name}: {reason}")
    assert running.wait(200) == 0, running.text
    consortium.check_result(run, rounds=2)
    assert all(list(row["sites"]) == ["site-1"] for row in consortium.rounds(run))
    for file, content in right.items():
        file.write_bytes(content)


def test_a_site_that_poses_as_another(
    consortium: Consortium, experiment_factory: Callable[..., Path]
) -> None:
    """Site 2 goes by the name of site 3, which is absent: its key tells."""
    run = "posing"
    for name, called in (("site-1", "site-1"), ("site-2", "site-3")):
        consortium.complete_kit(name, called=called)
        consortium.approve(name)
        consortium.start_site(name)
    settings = {"expected_sites": 2, "minimum_sites": 1, "wait_for_sites_s": 40}
    running = consortium.run(experiment_factory(run, settings, enhance=1))
    assert running.wait(200) == 0, running.text
    consortium.check_result(run, rounds=1)
    [left_out] = consortium.events(run, "left-out")
    assert left_out["reason"] == "it calls itself site-3, but its key is that of site-2"
    assert [list(row["sites"]) for row in consortium.rounds(run)] == [["site-1"]]


def test_unapproved_code_and_a_policy(
    consortium: Consortium, experiment_factory: Callable[..., Path]
) -> None:
    """Site 2 has not approved the code, and does so while the run goes on; site 3 keeps the downstream
    network at home.
    """
    run = "refused"
    (consortium.work("site-2") / "approvals.json").unlink()
    at_home = {"groups": ["cue_extractor", "generator", "autoencoder_decoder"]}
    consortium.complete_kit("site-3", policy=at_home)
    for name in consortium.names:
        consortium.start_site(name)
    settings = {"expected_sites": 2, "minimum_sites": 1}
    running = consortium.run(experiment_factory(run, settings, enhance=2, cooperate=6))
    refusal = "code-not-approved"
    wait_until(lambda: refusal in str(rows(consortium.work("site-2") / "audit.jsonl")), 120, refusal)
    consortium.approve("site-2")
    assert running.wait(400) == 0, running.text
    consortium.check_result(run, rounds=8)
    by_round = {row["global_round"]: row for row in consortium.rounds(run)}
    assert "site-2" in by_round[8]["sites"]
    assert all("site-3" in by_round[number]["sites"] for number in (1, 2))
    assert all(by_round[number]["failed"].get("site-3") == "policy-groups" for number in range(3, 9))
    refused = [row for row in rows(consortium.work("site-3") / "audit.jsonl") if row["event"] == "refused"]
    assert refused and all("policy-groups" in str(row["facts"]) for row in refused)
