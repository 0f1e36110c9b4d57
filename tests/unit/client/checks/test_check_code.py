"""Which code is approved, which waits."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from client.approvals import Approvals
from client.bundle import sha256_of
from hqgnet import __version__
from hqgnet.data.site_config import load_site_config
from tests.unit.client.checks.hospital import found, make_hospital, offline
from tests.unit.client.checks.loopback import Authority, write_site_key

SERVER = "server: {address: 'localhost:8443', ca: ca.pem, key: site-1.key}\n"


def bundle(version: str = __version__) -> bytes:
    """Build a bundle as Flower does: files, and a manifest with their hashes. The same bytes every time."""
    files = {"pyproject.toml": f'[project]\nname = "x"\nversion = "{version}"\n'.encode()}
    manifest = "\n".join(f"{path},{hashlib.sha256(data).hexdigest()},8" for path, data in files.items())
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for path, data in {**files, ".info/CONTENT": manifest.encode()}.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return written.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Authority().write(tmp_path / "ca.pem")
    write_site_key(tmp_path / "site-1.key")
    return make_hospital(tmp_path, images=4, more=SERVER)


def approvals(file: Path) -> Approvals:
    return Approvals(load_site_config(file).work)


def test_nothing_approved_yet_is_a_warning_with_the_command(file: Path) -> None:
    examination = offline(file)
    finding = found(examination, "approved code")
    assert finding.state == "warning" and finding.remedy == f"hqgnet-client approve {file}"
    assert examination.exit_code == 0


def test_approved_code_of_this_version_is_well(file: Path) -> None:
    approvals(file).approve(bundle(), "an engineer")
    examination = offline(file)
    finding = found(examination, "approved code")
    assert finding.state == "ok" and finding.detail.startswith(sha256_of(bundle()))
    assert "waiting code" not in {finding.title for finding in examination.findings}


def test_approved_code_of_another_version(file: Path) -> None:
    approvals(file).approve(bundle("9.9.9"), "an engineer")
    finding = found(offline(file), "approved code")
    assert finding.state == "warning" and "is of 9.9.9" in finding.detail


def test_approved_code_that_was_altered_on_disk(file: Path) -> None:
    approvals(file).approve(bundle(), "an engineer")
    (kept,) = (load_site_config(file).work / "bundles").iterdir()
    kept.chmod(0o600)
    kept.write_bytes(bundle("9.9.9"))
    assert "no longer kept" in found(offline(file), "approved code").detail


def test_bundles_of_the_kit_and_of_the_server_wait(file: Path) -> None:
    approvals(file).keep_pending(bundle("2.0"))
    (file.parent / "hqgnet.fab").write_bytes(bundle())
    finding = found(offline(file), "waiting code")
    assert finding.state == "warning" and finding.detail.startswith("2 to look at")
    assert sha256_of(bundle()) in finding.detail and sha256_of(bundle("2.0")) in finding.detail


def test_approvals_that_cannot_be_read(file: Path) -> None:
    work = load_site_config(file).work
    work.mkdir()
    (work / "approvals.json").write_text("{")
    examination = offline(file)
    assert found(examination, "approvals").state == "problem"
    assert examination.exit_code == 10
