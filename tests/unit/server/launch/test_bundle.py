"""The bundle: exactly our code, always the same, whatever lies around."""

from __future__ import annotations

import io
import tomllib
import zipfile
from pathlib import Path

import pytest

import hqgnet
from server.flower_app import SETTINGS
from server.launch.bundle import INCLUDE, PACKAGES, build_bundle, make_app, write_bundle

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "folder" / "hqgnet.fab"
    write_bundle(out)
    return out


def test_it_holds_exactly_the_sources_of_our_packages(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    ours = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    ours += (ROOT / "hqgnet").rglob("*.json")
    names = {str(file.relative_to(ROOT)) for file in ours}
    assert set(held) == {*names, "pyproject.toml", ".info/CONTENT"}
    assert "hqgnet/metrics/parameters/niqe.json" in names
    assert held["client/app.py"] == (ROOT / "client" / "app.py").read_bytes()


def test_its_project_names_the_components_and_every_setting(written: Path) -> None:
    with zipfile.ZipFile(written) as archive:
        project = tomllib.loads(archive.read("pyproject.toml").decode())
    app = project["tool"]["flwr"]["app"]
    assert app["components"] == {"serverapp": "server.app:app", "clientapp": "client.app:app"}
    assert app["config"] == dict(SETTINGS)
    assert project["project"]["version"] == hqgnet.__version__
    assert "dependencies" not in project["project"]


def test_stray_files_change_nothing(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("site.yaml", "hqgnet/site0.yaml", "client/notes.md", "patients.json", "server/extra.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("secret")
    monkeypatch.chdir(tmp_path)
    again = write_bundle(tmp_path / "again.fab")
    assert again.data == written.read_bytes()
    assert len(again.sha256) == 64


def test_an_app_folder_is_made_anew(written: Path, tmp_path: Path) -> None:
    app = tmp_path / "flower" / "app"
    make_app(app)
    (app / "hqgnet" / "of_yesterday.py").write_text("")
    (app / "site0.yaml").write_text("")
    make_app(app)
    assert build_bundle(app, tmp_path / "flower").data == written.read_bytes()
    assert sorted(entry.name for entry in (tmp_path / "flower").iterdir()) == ["app"]


def test_its_files_stand_uncompressed_with_fixed_dates(written: Path) -> None:
    """No library's version and no clock can change the hash."""
    with zipfile.ZipFile(io.BytesIO(written.read_bytes())) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert len({info.date_time for info in archive.infolist()}) == 1


def test_the_project_of_the_repository_includes_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["flwr"]["app"]["fab-include"]) <= set(INCLUDE)
    assert set(project["tool"]["flwr"]["app"]["config"]) <= set(SETTINGS)
