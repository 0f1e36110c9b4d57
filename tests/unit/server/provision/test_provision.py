"""Provisioning as the coordinator calls it: once, again, with one site more, renewed, revoked."""

from __future__ import annotations

import fcntl
import json
import shutil
import stat
from pathlib import Path

import pytest

from hqgnet.errors import ConfigurationError, ExitCode, OutputError
from hqgnet.files import write_atomically
from server.cli import main
from server.provision.kit import KitOptions
from server.provision.provision import provision, revoke
from server.provision.site_index import active_keys, revoked_keys
from server.provision.site_keys import belong_together
from tests.unit.server.provision.reports import MakeFederation, Snapshot, changed, states


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
