"""The application bundle: the code that hospitals are asked to approve, and that runs at both ends.

Flower builds a bundle (FAB, a zip with fixed dates) from an app folder. Ours is made from the installed
packages and from nothing else, so that no file of a working folder can slip in.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import hqgnet
from hqgnet.errors import ConfigurationError, OutputError, Problem
from hqgnet.files import make_folder, write_atomically
from server.flower_app import app_project
from server.flower_environment import environment, executable

APP_NAME = "hqgnet-federated"
PACKAGES = ("hqgnet", "client", "server")
# Source, and the parameters of metrics: of data files Flower takes JSON, not arrays, templates or styles.
INCLUDE = (*(f"{package}/**/*.py" for package in PACKAGES), "hqgnet/**/*.json")
_PROJECT = "pyproject.toml"
_MANIFEST = ".info/CONTENT"
_BUILD_S = 120.0


@dataclass(frozen=True)
class Bundle:
    """A bundle as Flower sends it.

    Attributes:
        data: The file's bytes.
        files: What it holds, by name: our packages' files and the project file.
    """

    data: bytes
    files: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """What a hospital approves (hex)."""
        return hashlib.sha256(self.data).hexdigest()


def make_app(folder: Path) -> None:
    """Make the app folder anew: the project file and the installed packages' source files.

    Raises:
        OutputError: If it cannot be written.
    """
    make_folder(folder.parent)
    try:
        with tempfile.TemporaryDirectory(prefix=".app-", dir=folder.parent) as temporary:
            fresh = Path(temporary) / folder.name
            for name, source in _sources().items():
                target = fresh / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            project = app_project(APP_NAME, hqgnet.__version__, INCLUDE)
            (fresh / _PROJECT).write_text(project, encoding="utf-8")
            if folder.exists():
                folder.rename(Path(temporary) / "previous")
            fresh.rename(folder)
    except OSError as error:
        what = f"cannot be made ({error.strerror or error})"
        raise OutputError(Problem(str(folder), what, "Check its permissions and free space")) from error


def build_bundle(app: Path, home: Path) -> Bundle:
    """Build the bundle of an app folder, with the program and the rules by which ``flwr run`` does it.

    Args:
        app: As :func:`make_app` makes it.
        home: ``FLWR_HOME``.

    Raises:
        ConfigurationError: If Flower refuses it, or leaves out a file or takes one more.
    """
    make_folder(home)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=home) as folder:
        command = [executable("flwr"), "build", "--app", str(app)]
        try:
            built = subprocess.run(
                command,
                cwd=folder,
                env=environment(home),
                capture_output=True,
                text=True,
                timeout=_BUILD_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            what = f"did not end within {_BUILD_S:g} s"
            raise ConfigurationError(
                Problem("flwr build", what, "Try again on a less busy machine")
            ) from error
        files = sorted(Path(folder).glob("*.fab"))
        if built.returncode or len(files) != 1:
            said = " ".join((built.stderr or built.stdout).split())
            raise ConfigurationError(Problem("flwr build", f"failed: {said}", "Mend what it names"))
        data = files[0].read_bytes()
        with zipfile.ZipFile(files[0]) as archive:
            names = set(archive.namelist())
    wanted = {_PROJECT, _MANIFEST, *_sources()}
    if names != wanted:
        what = f"holds other files than our packages' ({', '.join(sorted(names ^ wanted)[:5])})"
        raise ConfigurationError(Problem("bundle", what, "Rename what Flower's rules leave out"))
    return Bundle(data, tuple(sorted(names - {_MANIFEST})))


def write_bundle(out: Path) -> Bundle:
    """Build the bundle of the installed packages and write it.

    Raises:
        ConfigurationError: If it cannot be built.
        OutputError: If it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="hqgnet-bundle-") as folder:
        app = Path(folder) / "app"
        make_app(app)
        bundle = build_bundle(app, Path(folder) / "flower")
    make_folder(out.absolute().parent)
    write_atomically(out.absolute(), bundle.data)
    return bundle


def _sources() -> dict[str, Path]:
    """Return the installed packages' files that :data:`INCLUDE` names, by their name in the bundle."""
    found: dict[str, Path] = {}
    for pattern in INCLUDE:
        package, _, files = pattern.partition("/")
        # Looked up, not imported: the server's code never loads the client's.
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            what, remedy = "is not installed", "Install hqgnet-federated whole: one package holds all three"
            raise ConfigurationError(Problem(package, what, remedy))
        root = Path(spec.origin).parent
        for file in sorted(root.glob(files)):
            found[str(PurePosixPath(package, *file.relative_to(root).parts))] = file
    return found
