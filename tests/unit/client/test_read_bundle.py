"""Bundles from a server: read without trust, unpacked only as they are."""

from __future__ import annotations

import hashlib
import io
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from client import bundle as bundle_module
from client.bundle import read_bundle, unpack
from hqgnet.errors import ConfigurationError
from tests.unit.client.recorded_site import Pack

FILES = {"client/__init__.py": "", "client/app.py": "answer = 42\n", "pyproject.toml": "[project]\n"}


def repacked(data: bytes, change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    """The same archive, with each member's description changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            change(member)
            new.writestr(member, content)
    return out.getvalue()


def test_a_bundle_is_its_files_and_its_hash(pack: Pack) -> None:
    data = pack(FILES)
    bundle = read_bundle(data)
    assert bundle.sha256 == hashlib.sha256(data).hexdigest()
    assert bundle.files == {name: text.encode() for name, text in FILES.items()}


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py",
        "client/../../evil.py",
        "/etc/evil.py",
        "client//evil.py",
        "./evil.py",
        "C:\\evil.py",
        "client/a\nb.py",
        "client/\x1b[2Jevil.py",
        "client/evil.so",
        "client/evil.pyc",
        "client/evil.pth",
        "client/evil",
        "site.yaml",
        "client/__pycache__/app.py",
        "client/__pycache__/app.cpython-311.pyc",
        "client/",
        "sub/LICENSE",
        "-rf.py",
        "CLIENT/APP.PY",
    ],
)
def test_other_files_are_refused(name: str, pack: Pack, tmp_path: Path) -> None:
    data = pack({**FILES, name: ""})
    with pytest.raises(ConfigurationError, match="the bundle"):
        unpack(data, tmp_path / "code")
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR])
def test_only_plain_files_are_taken(kind: int, pack: Pack) -> None:
    def disguise(member: zipfile.ZipInfo) -> None:
        if member.filename == "client/app.py":
            member.external_attr = (kind | 0o777) << 16

    with pytest.raises(ConfigurationError, match="no plain file"):
        read_bundle(repacked(pack(FILES), disguise))


def test_a_name_that_stands_twice_is_refused(pack: Pack) -> None:
    out = io.BytesIO(pack(FILES))
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("client/app.py", "answer = 43\n")
    with pytest.raises(ConfigurationError, match="two files of one name"):
        read_bundle(out.getvalue())


def test_the_manifest_must_name_every_file_and_no_other(pack: Pack) -> None:
    out = io.BytesIO(pack(FILES))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("client/more.py", "")
    with pytest.raises(ConfigurationError, match="other files than"):
        read_bundle(out.getvalue())
    bare = io.BytesIO()
    with zipfile.ZipFile(bare, "w") as archive:
        archive.writestr("client/app.py", "")
    with pytest.raises(ConfigurationError, match=r"\.info/CONTENT"):
        read_bundle(bare.getvalue())


def test_bombs_are_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="more than"):
        read_bundle(b"PK" + b"\0" * bundle_module.LARGEST_BUNDLE)
    monkeypatch.setattr(bundle_module, "_LARGEST_UNPACKED", 10_000)
    with pytest.raises(ConfigurationError, match="unpacks to more than"):
        read_bundle(pack({"client/zeros.py": "0" * 10_000}))
    monkeypatch.setattr(bundle_module, "_MOST_FILES", 3)
    with pytest.raises(ConfigurationError, match="more than 3 files"):
        read_bundle(pack(FILES))


def test_damage_is_an_error_of_ours(pack: Pack) -> None:
    data, generator = pack(FILES), random.Random(0)
    for number in range(600):
        damaged = bytearray(data)
        for _ in range(1 + number % 4):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        if number % 5 == 0:
            del damaged[generator.randrange(len(damaged)) :]
        try:
            files = read_bundle(bytes(damaged)).files
        except ConfigurationError:
            continue
        # What is read all the same (a date was hit, say) is what the manifest says.
        assert files == read_bundle(data).files
    with pytest.raises(ConfigurationError):
        read_bundle(b"")


def test_unpacked_files_are_read_only_and_stay_as_they_are(pack: Pack, tmp_path: Path) -> None:
    data = pack(FILES)
    place = unpack(data, tmp_path / "code")
    assert place == tmp_path / "code" / hashlib.sha256(data).hexdigest()
    assert {p.relative_to(place).as_posix(): p.read_text() for p in place.rglob("*") if p.is_file()} == FILES
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o400 for p in place.rglob("*") if p.is_file())
    untouched = (place / "client/app.py").stat().st_ino
    assert unpack(data, tmp_path / "code") == place
    assert (place / "client/app.py").stat().st_ino == untouched


@pytest.mark.parametrize("harm", ["changed", "removed", "added", "compiled", "linked", "linked folder"])
def test_code_that_was_tampered_with_is_unpacked_anew(harm: str, pack: Pack, tmp_path: Path) -> None:
    data = pack(FILES)
    place = unpack(data, tmp_path / "code")
    app = place / "client/app.py"
    if harm == "added":
        (place / "torch.py").write_text("")
    elif harm == "compiled":
        (place / "client/__pycache__").mkdir()
        (place / "client/__pycache__/app.cpython-311.pyc").write_bytes(b"")
    elif harm == "linked folder":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    else:
        app.unlink()
    if harm == "changed":
        app.write_text("answer = 43\n")
    elif harm == "linked":
        (tmp_path / "app.py").write_text(FILES["client/app.py"])
        app.symlink_to(tmp_path / "app.py")
    assert unpack(data, tmp_path / "code") == place
    assert not place.is_symlink()
    assert {
        p.relative_to(place).as_posix(): p.read_text() for p in place.rglob("*") if not p.is_dir()
    } == FILES
    assert not app.is_symlink()
    assert sorted(p.name for p in (tmp_path / "code").iterdir()) == [place.name]
