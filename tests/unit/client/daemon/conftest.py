"""A site of its own for each test, and bundles as Flower's builder writes them."""

from __future__ import annotations

import hashlib
import io
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hqgnet.config import Experiment
from hqgnet.exchange.update import QueryRequest
from tests.other_user import usual_umask

ROOT = Path(__file__).parents[4]
MakeBundle = Callable[[Mapping[str, str]], bytes]
WaitFor = Callable[[Callable[[], bool], float], None]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A daemon that a test runs in this process makes all files private; those of other tests are not."""
    with usual_umask():
        yield


@pytest.fixture
def own_site(tiny_site_files: list[Path], tmp_path: Path) -> Path:
    """The YAML of a site that the test may write to."""
    folder = tmp_path / "site"
    shutil.copytree(tiny_site_files[0].parent, folder, ignore=shutil.ignore_patterns("work"))
    return folder / "site.yaml"


@pytest.fixture
def work(own_site: Path) -> Path:
    """Its work folder."""
    folder = own_site.parent / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def make_bundle() -> MakeBundle:
    """Our own code as a bundle, with some files replaced."""

    def make(replaced: Mapping[str, str]) -> bytes:
        files = {
            path.relative_to(ROOT).as_posix(): path.read_text()
            for package in ("client", "hqgnet")
            for path in sorted((ROOT / package).rglob("*.py"))
        } | dict(replaced)
        lines = [f"{name},{hashlib.sha256(text.encode()).hexdigest()},8" for name, text in files.items()]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
            archive.writestr(".info/CONTENT", "\n".join(lines))
        return packed.getvalue()

    return make


@pytest.fixture
def card_query(tiny_experiment: Experiment) -> str:
    """A request for the data card."""
    return QueryRequest(run="run-1", kind="data-card", experiment=tiny_experiment.to_json()).to_json()


@pytest.fixture
def wait_for() -> WaitFor:
    """Wait until something holds; fail when it does not in time."""

    def wait(holds: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "not in time"
            time.sleep(0.02)

    return wait
