"""What the tests of ``deploy/`` share: the folder itself, throwaway certificates, and nginx without root."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.authority import Authority
from tests.deploy.door import Door, Folder
from tests.deploy.stub_superlink import StubSuperLink


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder of deployments."""
    return Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The federation's certificate authority."""
    return Authority("federation")


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """An authority that the federation does not know."""
    return Authority("stranger")


@pytest.fixture(scope="session")
def nginx() -> str:
    """nginx's executable."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    return found


@pytest.fixture(scope="module")
def shared_superlink(authority: Authority) -> Iterator[StubSuperLink]:
    """Something that answers every path on loopback, with the federation's certificate."""
    with StubSuperLink(authority.issue("server", "localhost", "127.0.0.1")) as stub:
        yield stub


@pytest.fixture
def superlink(shared_superlink: StubSuperLink) -> StubSuperLink:
    """The same, with nothing asked yet."""
    shared_superlink.forget()
    return shared_superlink


@pytest.fixture
def folder() -> Iterator[Folder]:
    """A short folder that nginx's user may read and write."""
    with Folder() as made:
        yield made


@pytest.fixture(scope="module")
def door(nginx: str, deploy: Path, authority: Authority, shared_superlink: StubSuperLink) -> Iterator[Door]:
    """nginx with ``fleet.conf`` as it comes, in front of the stub."""
    with (
        Folder() as folder,
        Door.fleet(nginx, deploy / "nginx", folder, authority, shared_superlink.port) as opened,
    ):
        yield opened
