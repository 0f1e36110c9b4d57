"""The code that a server sends: a zip that Flower's builder made (a FAB), read with suspicion.

Nothing in it is executed here. A bundle is what its bytes are: it is known by their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hqgnet.errors import ConfigurationError, OutputError, Problem

LARGEST_BUNDLE = 10 * 1024 * 1024
"""Bytes; Flower's builder makes no larger one."""

MANIFEST = ".info/CONTENT"
_INFORMATION = ".info/"
# Of what Flower's builder takes: code, and data that code reads. Nothing that a program would load by itself.
_SUFFIXES = frozenset({".py", ".toml", ".md", ".json"})
_LICENCE = "LICENSE"
_LARGEST_UNPACKED = 64 * 1024 * 1024
_MOST_FILES = 5000
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises for archives that are not whole, or not to be read.
_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError, ValueError)
# No separators of other systems, no control characters, nothing that begins with a dash.
_PART = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\- ]{0,99}")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read whole.

    Attributes:
        sha256: Hex, over the bundle's bytes.
        files: Content by path, in the order of the paths; without Flower's own information.
    """

    sha256: str
    files: Mapping[str, bytes]


def sha256_of(data: bytes) -> str:
    """SHA-256 (hex) of bytes; a bundle is approved by that of its own."""
    return hashlib.sha256(data).hexdigest()


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle: plain files of a few kinds, at plain paths, each with the hash that its manifest says.

    Raises:
        ConfigurationError: If it is none, or holds anything else.
    """
    if len(data) > LARGEST_BUNDLE:
        raise _refused(f"is {len(data)} bytes, more than {LARGEST_BUNDLE}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = _read_files(archive)
    except _DAMAGE as error:
        raise _refused("is no whole zip file") from error
    _check_manifest(files)
    plain = {path: files[path] for path in sorted(files) if not path.startswith(_INFORMATION)}
    return Bundle(sha256_of(data), plain)


def unpack(data: bytes, folder: Path) -> Path:
    """Unpack a bundle into a folder named by its SHA-256, or check the one that is there; return that folder.

    The files are read-only. Whatever differs from the bundle, a compiled file beside its source for
    instance, makes the folder be written anew.

    Args:
        data: The bundle.
        folder: Where bundles are unpacked; made if missing.

    Raises:
        ConfigurationError: If it is no bundle.
        OutputError: If it cannot be written.
    """
    bundle = read_bundle(data)
    place = folder / bundle.sha256
    if is_unpacked(bundle, place):
        return place
    temporary = folder / f".{bundle.sha256[:16]}-{secrets.token_hex(4)}.new"
    replaced = temporary.with_suffix(".old")
    try:
        temporary.mkdir(parents=True, mode=0o700)
        for path, content in bundle.files.items():
            _write(temporary / path, content)
        if place.exists() or place.is_symlink():
            place.rename(replaced)
        temporary.rename(place)
    except OSError as error:
        remove_unpacked(temporary)
        what = f"cannot be written ({error.strerror or error})"
        raise OutputError(Problem(str(place), what, "Check permissions and free space")) from error
    remove_unpacked(replaced)
    return place


def is_unpacked(bundle: Bundle, place: Path) -> bool:
    """Whether a folder holds the files of a bundle, byte for byte, and nothing else."""
    if place.is_symlink() or not place.is_dir():
        return False
    found: set[str] = set()
    for path in place.rglob("*"):
        if path.is_symlink():
            return False
        if path.is_dir():
            continue
        name = path.relative_to(place).as_posix()
        if not path.is_file() or path.read_bytes() != bundle.files.get(name):
            return False
        found.add(name)
    return found == set(bundle.files)


def remove_unpacked(place: Path) -> None:
    """Remove an unpacked bundle, if it is there."""
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place, ignore_errors=True)


def _read_files(archive: zipfile.ZipFile) -> dict[str, bytes]:
    members = archive.infolist()
    if len(members) > _MOST_FILES:
        raise _refused(f"holds more than {_MOST_FILES} files")
    if sum(member.file_size for member in members) > _LARGEST_UNPACKED:
        raise _refused(f"unpacks to more than {_LARGEST_UNPACKED} bytes")
    files: dict[str, bytes] = {}
    for member in members:
        _check_member(member)
        # A size that the zip understates raises BadZipFile at its end; no more than that is read.
        files[member.filename] = archive.read(member)
    # Equal names would hide one file behind another, also where case does not count.
    if len({name.lower() for name in files}) < len(members):
        raise _refused("holds two files of one name")
    return files


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.is_dir() or kind not in (0, stat.S_IFREG) or member.compress_type not in _COMPRESSIONS:
        raise _refused(f"holds {name[:100]!r}, which is no plain file")
    plain = path.as_posix() == name and not path.is_absolute()
    if not plain or any(part == ".." or not _PART.fullmatch(part) for part in path.parts):
        raise _refused(f"holds a file at {name[:100]!r}")
    expected = path.suffix in _SUFFIXES or name == _LICENCE or name.startswith(_INFORMATION)
    if not expected or "__pycache__" in path.parts:
        raise _refused(f"holds {name[:100]!r}, which is neither code nor its description")


def _check_manifest(files: Mapping[str, bytes]) -> None:
    try:
        lines = files[MANIFEST].decode().splitlines()
        listed = {path: digest for path, digest, _ in (line.rsplit(",", 2) for line in lines)}
    except (KeyError, ValueError) as error:
        raise _refused(f"has no {MANIFEST}, or not of Flower's form") from error
    actual = {path: sha256_of(content) for path, content in files.items() if path != MANIFEST}
    if listed != actual:
        raise _refused(f"holds other files than its {MANIFEST} says")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not waited for until it is on the disk: what a crash leaves torn is found at the next use.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _refused(what: str) -> ConfigurationError:
    remedy = "Ask the federation's coordinator for the bundle that hqgnet-server made"
    return ConfigurationError(Problem("the bundle", what, remedy))
