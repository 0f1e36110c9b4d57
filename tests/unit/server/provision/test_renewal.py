"""Keys and certificates that end: renewed, revoked, of sites that left, and told in time."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509

from hqgnet.errors import ConfigurationError
from server.provision.expiry import expiring
from server.provision.kit import KitOptions
from server.provision.provision import provision, renew, revoke
from server.provision.site_index import active_keys, revoked_keys
from server.provision.site_keys import belong_together
from tests.unit.server.provision.reports import MakeFederation, Snapshot, changed, notes, states


def test_renewing_a_site_leaves_all_others_alone(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot, tmp_path: Path
) -> None:
    federation = make_federation(extra="client_certificates: true")
    provision(federation, options)
    (options.out / "site-1" / "work").mkdir()
    (options.out / "site-1" / "work" / "state").write_bytes(b"a hospital works in its kit")
    before = snapshot(tmp_path)
    old = (federation.sites_folder / "site-1.pub").read_bytes()
    report = renew(federation, "site-1", options)
    after = snapshot(tmp_path)
    outside = {name for name in changed(before, after) if not name.startswith("kits/site-1")}
    assert outside == {
        "home/sites/index.json",
        "home/sites/site-1.pub",
        "home/sites/site-1.revoked-1.pub",
        "home/ca/crl.pem",
    }
    assert states(report) == {"site-1": "renewed"} and "site-1.old-1" in notes(report, "site-1")
    former = {
        name.removeprefix("kits/site-1/"): data for name, data in before.items() if "kits/site-1/" in name
    }
    assert snapshot(options.out / "site-1.old-1") == former
    assert {path.name for path in revoked_keys(federation)} == {"site-1.revoked-1.pub"}
    assert revoked_keys(federation)[0].read_bytes() == old
    new = active_keys(federation)["site-1"]
    assert new.read_bytes() != old
    assert belong_together(options.out / "site-1" / "keys" / "site-1.key", new)
    assert not belong_together(options.out / "site-1.old-1" / "keys" / "site-1.key", new)
    assert renew(federation, "site-1", options).rows[0].state == "renewed"
    assert {path.name for path in revoked_keys(federation)} == {
        "site-1.revoked-1.pub",
        "site-1.revoked-2.pub",
    }


def test_renewing_the_server_keeps_the_authority_and_all_kits(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot, tmp_path: Path
) -> None:
    provision(make_federation(), options)
    before = snapshot(tmp_path)
    moved = make_federation(address="new.example.org:8443")
    told = provision(moved, options)
    assert "not valid for new.example.org" in notes(told, "server")
    assert "federation.example.org:8443" in notes(told, "site-1")
    renew(moved, "server", options)
    assert changed(before, snapshot(tmp_path)) == {
        "federation.yaml",
        "home/tls/server.key",
        "home/tls/server.pem",
    }
    authority = x509.load_pem_x509_certificate((options.out / "site-1" / "keys" / "ca.pem").read_bytes())
    x509.load_pem_x509_certificate(moved.server_certificate.read_bytes()).verify_directly_issued_by(authority)
    assert not notes(provision(moved, options), "server")
    assert stat.S_IMODE(moved.server_key.stat().st_mode) == 0o600


def test_a_revoked_site_stays_out_until_it_is_renewed(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot, tmp_path: Path
) -> None:
    federation = make_federation()
    provision(federation, options)
    old = (federation.sites_folder / "site-1.pub").read_bytes()
    assert states(revoke(federation, "site-1")) == {"site-1": "revoked"}
    assert set(active_keys(federation)) == {"site-2"}
    [revoked] = revoked_keys(federation)
    assert revoked.name == "site-1.revoked-1.pub" and revoked.read_bytes() == old
    assert not federation.revocation_list.exists()
    before = snapshot(tmp_path)
    report = provision(federation, options)
    assert states(report)["site-1"] == "revoked" and "renew" in notes(report, "site-1")
    revoke(federation, "site-1")
    assert snapshot(tmp_path) == before
    renew(federation, "site-1", options)
    assert set(active_keys(federation)) == {"site-1", "site-2"}
    assert revoked_keys(federation) == [revoked]


def test_a_site_that_left_the_yaml_is_not_admitted(
    make_federation: MakeFederation, options: KitOptions
) -> None:
    provision(make_federation(), options)
    smaller = make_federation("site-2")
    assert set(active_keys(smaller)) == {"site-2"}
    assert [path.name for path in revoked_keys(smaller)] == ["site-1.pub"]
    report = provision(smaller, options)
    assert states(report)["site-1"] == "not listed"
    revoke(smaller, "site-1")
    assert "site-1" not in states(provision(smaller, options))


def test_a_kit_that_was_handed_over_is_no_error(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot
) -> None:
    federation = make_federation()
    provision(federation, options)
    shutil.rmtree(options.out / "site-1")
    before = snapshot(federation.home)
    report = provision(federation, options)
    assert states(report)["site-1"] == "kept"
    assert f"hqgnet-server renew FEDERATION.yaml site-1 --out {options.out}" in notes(report, "site-1")
    assert not (options.out / "site-1").exists()
    assert snapshot(federation.home) == before


def test_client_certificates_can_be_asked_for_later(
    make_federation: MakeFederation, options: KitOptions
) -> None:
    provision(make_federation(), options)
    federation = make_federation(extra="client_certificates: true")
    report = provision(federation, options)
    assert "no client certificate" in notes(report, "site-1")
    assert federation.revocation_list.exists()
    renew(federation, "site-1", options)
    assert not notes(provision(federation, options), "site-1")


def test_what_ends_soon_is_told(make_federation: MakeFederation, options: KitOptions) -> None:
    lifetimes = "certificates: {server_days: 20, client_days: 40}\nclient_certificates: true"
    federation = make_federation(extra=lifetimes)
    report = provision(federation, options)
    assert [expiry.name for expiry in report.expiring] == ["server"]
    assert "warning: server: certificate expires on" in str(report)
    assert "`hqgnet-server renew FEDERATION.yaml server`" in str(report)
    assert [expiry.name for expiry in expiring(federation, 41)] == ["server", "site-1", "site-2"]
    revoke(federation, "site-1")
    assert [expiry.name for expiry in expiring(federation, 5000)] == ["authority", "server", "site-2"]
    assert expiring(federation, 10) == []


def test_nothing_is_renewed_before_it_was_provisioned(
    make_federation: MakeFederation, options: KitOptions
) -> None:
    with pytest.raises(ConfigurationError, match="`hqgnet-server provision` first"):
        renew(make_federation(), "site-1", options)
