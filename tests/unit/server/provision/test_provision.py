"""Provisioning as the coordinator calls it: once, again, with one site more, renewed, revoked."""

from __future__ import annotations

import fcntl
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from hqgnet.errors import ConfigurationError, ExitCode, OutputError
from hqgnet.files import write_atomically
from server.cli import main
from server.federation import Federation
from server.provision.expiry import expiring
from server.provision.kit import KitOptions
from server.provision.provision import provision, renew, revoke
from server.provision.report import Report
from server.provision.site_index import active_keys, revoked_keys
from server.provision.site_keys import belong_together

Snapshot = Callable[[Path], dict[str, bytes]]
MakeFederation = Callable[..., Federation]


@pytest.fixture
def options(tmp_path: Path) -> KitOptions:
    return KitOptions(tmp_path / "kits")


def states(report: Report) -> dict[str, str]:
    return {row.name: row.state for row in report.rows}


def notes(report: Report, name: str) -> str:
    [row] = [row for row in report.rows if row.name == name]
    return "\n".join(row.notes)


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_home_is_closed_and_holds_no_private_key_of_a_site(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot
) -> None:
    federation = make_federation()
    report = provision(federation, options)
    assert states(report) == {"authority": "new", "server": "new", "site-1": "new", "site-2": "new"}
    for path in federation.home.rglob("*"):
        if path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (federation.ca_key, federation.server_key, federation.superexec_secret):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(federation.home.stat().st_mode) == 0o700
    assert len(federation.superexec_secret.read_bytes()) == 32
    private = {name for name, data in snapshot(federation.home).items() if b"PRIVATE KEY" in data}
    assert private == {"ca/ca.key", "tls/server.key"}
    assert (
        federation.logs.is_dir() and federation.flower_home.is_dir() and federation.database.parent.is_dir()
    )
    for site, public_key in active_keys(federation).items():
        assert belong_together(options.out / site / "keys" / f"{site}.key", public_key)
    assert revoked_keys(federation) == []


def test_a_second_call_changes_no_byte(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot, tmp_path: Path
) -> None:
    federation = make_federation(extra="client_certificates: true")
    first = provision(federation, options)
    before = snapshot(tmp_path)
    second = provision(federation, KitOptions(options.out, modality="ccm", channels=1))
    assert snapshot(tmp_path) == before
    assert set(states(second).values()) == {"kept"}
    assert [row.fingerprint for row in second.rows] == [row.fingerprint for row in first.rows]
    assert not any(row.notes for row in second.rows)


def test_a_site_more_adds_its_kit_only(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot, tmp_path: Path
) -> None:
    provision(make_federation(), options)
    before = snapshot(tmp_path)
    report = provision(make_federation("site-1", "site-2", "site-3"), options)
    assert states(report)["site-3"] == "new" and states(report)["site-1"] == "kept"
    new = {name for name in changed(before, snapshot(tmp_path)) if not name.startswith("kits/site-3/")}
    assert new == {"federation.yaml", "home/sites/index.json", "home/sites/site-3.pub"}


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


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_an_open_home_is_refused(make_federation: MakeFederation, options: KitOptions, mode: int) -> None:
    federation = make_federation()
    federation.home.mkdir()
    federation.home.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 700 {federation.home}"):
        provision(federation, options)
    assert list(federation.home.iterdir()) == []


def test_a_foreign_folder_is_not_overwritten(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot
) -> None:
    for name in ("site-1", "site-2"):
        (options.out / name).mkdir(parents=True)
        (options.out / name / "precious").write_bytes(b"x")
    before = snapshot(options.out)
    with pytest.raises(ConfigurationError) as caught:
        provision(make_federation(), options)
    assert [problem.where for problem in caught.value.problems] == [
        str(options.out / name) for name in ("site-1", "site-2")
    ]
    assert snapshot(options.out) == before


def test_kits_do_not_go_into_home(make_federation: MakeFederation) -> None:
    federation = make_federation()
    with pytest.raises(ConfigurationError, match="no site's private key may be"):
        provision(federation, KitOptions(federation.home / "kits"))


def test_only_one_provisions_at_a_time(make_federation: MakeFederation, options: KitOptions) -> None:
    federation = make_federation()
    provision(federation, options)
    with (federation.home / "provision.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another process"):
            revoke(federation, "site-1")
    assert set(active_keys(federation)) == {"site-1", "site-2"}


def test_damage_is_told_and_nothing_is_made_over_it(
    make_federation: MakeFederation, options: KitOptions, snapshot: Snapshot
) -> None:
    federation = make_federation()
    provision(federation, options)
    whole = snapshot(federation.home)

    def damage(path: Path, data: bytes | None, says: str) -> None:
        path.unlink() if data is None else path.write_bytes(data)
        before = snapshot(federation.home)
        with pytest.raises(ConfigurationError, match=says) as caught:
            provision(federation, options)
        assert "PRIVATE" not in str(caught.value)
        assert snapshot(federation.home) == before
        path.write_bytes(whole[str(path.relative_to(federation.home))])

    index = json.loads(federation.sites_index.read_bytes())
    index["keys"][0]["fingerprint"] = index["keys"][1]["fingerprint"]
    damage(federation.sites_index, None, "is missing, though sites have keys")
    damage(federation.sites_index, b"{", "is empty")
    damage(federation.sites_index, json.dumps(index).encode(), "not the key that the index names")
    damage(federation.sites_folder / "site-1.pub", None, "cannot be read")
    damage(federation.ca_key, federation.server_key.read_bytes(), "does not belong to ca.key")
    damage(federation.ca_key, federation.ca_key.read_bytes()[:90], "holds no private key")
    damage(federation.ca_certificate, None, "cannot be read")
    damage(federation.server_key, federation.ca_key.read_bytes(), "renew FEDERATION.yaml server")
    assert set(states(provision(federation, options)).values()) == {"kept"}
    shutil.rmtree(federation.ca_key.parent)
    with pytest.raises(ConfigurationError, match="Restore it from a backup, or provision anew"):
        provision(federation, options)


def test_the_commands(
    make_federation: MakeFederation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_federation()
    file, out = str(tmp_path / "federation.yaml"), str(tmp_path / "kits")
    assert main(["provision", file, "--out", out, "--modality", "ccm", "--channels", "1"]) == 0
    printed = capsys.readouterr().out
    assert "federation retina" in printed and printed.count(" new ") == 4
    assert max(len(line) for line in printed.splitlines()) <= 120
    assert "modality: ccm\n" in (tmp_path / "kits" / "site-1" / "site.yaml").read_text()
    assert main(["renew", file, "site-2", "--out", out]) == 0
    assert main(["revoke", file, "site-1"]) == 0
    capsys.readouterr()
    assert main(["renew", file, "site-9", "--out", out]) == ExitCode.CONFIGURATION
    assert main(["revoke", file, "site-9"]) == ExitCode.CONFIGURATION
    said = capsys.readouterr().err
    assert "Name one of: server, site-1, site-2" in said and "was never given a key" in said


def test_nothing_is_renewed_before_it_was_provisioned(
    make_federation: MakeFederation, options: KitOptions
) -> None:
    with pytest.raises(ConfigurationError, match="`hqgnet-server provision` first"):
        renew(make_federation(), "site-1", options)


def test_a_private_file_is_private_from_its_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seen: list[int] = []

    def write(file: object) -> None:
        [temporary] = tmp_path.iterdir()
        seen.append(stat.S_IMODE(temporary.stat().st_mode))
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError):
        write_atomically(path, write, mode=0o600)
    assert seen == [0o600]
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_atomically(path, b"new", mode=0o600)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
