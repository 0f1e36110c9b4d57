"""A hospital's own nginx, which shows the client certificate that Flower's SuperNode cannot show."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.authority import Authority
from tests.deploy.door import Door, Folder
from tests.deploy.stub_superlink import ANSWER, StubSuperLink

pytestmark = pytest.mark.deploy
REVOKED_SITE = "site-2"


class Pair:
    """The two nginx, server's and hospital's, and what they are made with."""

    def __init__(
        self, nginx: str, source: Path, authority: Authority, superlink: StubSuperLink, folder: Folder
    ) -> None:
        self.nginx, self.source, self.authority = nginx, source, authority
        self.good = authority.issue("site-1", client=True)
        self.revoked = authority.issue(REVOKED_SITE, client=True)
        self.server = Door.fleet(
            nginx, source, folder, authority, superlink.port, revoked=(self.revoked.serial,)
        )


@pytest.fixture
def pair(
    nginx: str, deploy: Path, authority: Authority, superlink: StubSuperLink, folder: Folder
) -> Iterator[Pair]:
    made = Pair(nginx, deploy / "nginx", authority, superlink, folder)
    with made.server:
        yield made


def test_fleet_calls_arrive_with_the_certificate(pair: Pair, superlink: StubSuperLink) -> None:
    body = random.Random(2).randbytes(6_000_000)
    with (
        Folder() as folder,
        Door.hospital(pair.nginx, pair.source, folder, pair.server, pair.authority, pair.good) as door,
    ):
        answer = door.call("/v1/fleet/push-object", body)
        assert (answer.status, answer.body) == (200, ANSWER)
        assert superlink.seen[0].sha256 == hashlib.sha256(body).hexdigest()
        assert door.call("/v1/control/start-run").status == 404
        assert len(superlink.seen) == 1


def test_a_revoked_hospital_is_refused(pair: Pair, superlink: StubSuperLink) -> None:
    with (
        Folder() as folder,
        Door.hospital(pair.nginx, pair.source, folder, pair.server, pair.authority, pair.revoked) as door,
    ):
        assert door.call("/v1/fleet/pull-messages").status == 400
        assert superlink.seen == []


@pytest.mark.parametrize("fault", ["another authority", "another name"])
def test_a_server_that_is_not_the_federations_is_sent_nothing(
    pair: Pair, superlink: StubSuperLink, stranger: Authority, fault: str
) -> None:
    trusted = stranger if fault == "another authority" else pair.authority
    name = "elsewhere.example.org" if fault == "another name" else "federation.example.org"
    with (
        Folder() as folder,
        Door.hospital(pair.nginx, pair.source, folder, pair.server, trusted, pair.good, name) as door,
    ):
        assert door.call("/v1/fleet/pull-messages").status == 502
        assert superlink.seen == []
