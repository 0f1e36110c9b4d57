"""The bundle that the server builds is one that a site can read, and finds to be its own code."""

from __future__ import annotations

from pathlib import Path

from client.bundle import read_bundle, unpack
from client.bundle_changes import differs_from_installed, outside_packages
from server.launch.bundle import write_bundle


def test_a_site_finds_its_own_code_in_the_servers_bundle(tmp_path: Path) -> None:
    built = write_bundle(tmp_path / "hqgnet.fab")
    data = (tmp_path / "hqgnet.fab").read_bytes()
    bundle = read_bundle(data)
    assert bundle.sha256 == built.sha256
    assert set(bundle.files) == set(built.files)
    assert differs_from_installed(bundle) == [] and outside_packages(bundle) == []
    assert (unpack(data, tmp_path / "code") / "client" / "worker.py").is_file()
