"""The federation's door: what passes ``deploy/nginx/fleet.conf`` and what does not, through a real nginx."""

from __future__ import annotations

import hashlib
import os
import random
import re
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.authority import Authority
from tests.deploy.door import Door, Folder
from tests.deploy.stub_superlink import ANSWER, StubSuperLink

pytestmark = pytest.mark.deploy
LEFT_OUT = {"register-node", "unregister-node"}


def allowed_calls(deploy: Path) -> set[str]:
    text = (deploy / "nginx/hqgnet/fleet-calls.conf").read_text()
    [names] = re.findall(r"location ~ \^/v1/fleet/\(\?<hqgnet_call>([a-z|-]+)\)\$ \{", text)
    return set(names.split("|"))


def test_the_calls_are_those_of_the_installed_flower(deploy: Path) -> None:
    from flwr.superlink.routers.fleet.router import router

    paths = {route.path for route in router.routes}
    assert {f"/v1/fleet/{name}" for name in allowed_calls(deploy) | LEFT_OUT} == paths


def test_every_fleet_call_passes_unchanged(deploy: Path, door: Door, superlink: StubSuperLink) -> None:
    for name in sorted(allowed_calls(deploy)):
        answer = door.call(f"/v1/fleet/{name}", name.encode())
        assert (answer.status, answer.body) == (200, ANSWER)
        seen = superlink.seen[-1]
        assert (seen.method, seen.path) == ("POST", f"/v1/fleet/{name}")
        assert seen.sha256 == hashlib.sha256(name.encode()).hexdigest()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/docs",
        "/openapi.json",
        "/v1",
        "/v1/fleet",
        "/v1/fleet/",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages/x",
        "/v1/FLEET/pull-messages",
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/pull-messages/../../control/start-run",
        "/v1/fleet/%2e%2e/control/start-run",
        "/v1/fleet/..%2fcontrol/start-run",
        "/v1/fleet%2f..%2fcontrol%2fstart-run",
        "/v1/fleet/%252e%252e/control/start-run",
        "/v1/fleet/..;/control/start-run",
        "/v1/fleet/..\\control\\start-run",
        "//v1/control/start-run",
        "//v1/fleet/pull-messages",
        "/v1//control/start-run",
        "/v1/fleet//pull-messages",
        "/v1/fleet/pull-messages%00",
        "/bare/404",
        "/v1/fleet/pull-messages%0d%0aX: y",
        "https://localhost/v1/control/start-run",
    ],
)
def test_nothing_else_passes(door: Door, superlink: StubSuperLink, path: str) -> None:
    answer = door.call(path.replace(" ", "%20"))
    assert answer.status in (400, 404)
    assert answer.body == b""
    assert answer.headers["server"] == "nginx"
    assert superlink.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/../fleet/pull-messages",
        "/v1/fleet/%70ull-messages",
        "/v1/fleet/./pull-messages",
        "/v1/fleet/pull-messages?next=/v1/control/start-run",
        "https://elsewhere.example.org/v1/fleet/pull-messages",
    ],
)
def test_what_reads_as_a_fleet_call_is_sent_on_in_its_plain_form(
    door: Door, superlink: StubSuperLink, path: str
) -> None:
    assert door.call(path).status == 200
    [seen] = superlink.seen
    assert (seen.path, seen.host) == ("/v1/fleet/pull-messages", "localhost")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_do_not_pass(door: Door, superlink: StubSuperLink, method: str) -> None:
    answer = door.call("/v1/fleet/pull-messages", method=method)
    assert (answer.status, answer.body) == (405, b"")
    assert superlink.seen == []


def test_a_second_request_hidden_in_a_body_stays_a_body(door: Door, superlink: StubSuperLink) -> None:
    hidden = b"POST /v1/control/start-run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    door.call("/v1/fleet/push-object", hidden)
    assert [seen.path for seen in superlink.seen] == ["/v1/fleet/push-object"]
    assert superlink.seen[0].size == len(hidden)


def test_two_lengths_are_refused(door: Door, superlink: StubSuperLink) -> None:
    request = (
        b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"POST /v1/control/start-run HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain,
        door.context().wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(request)
        assert b" 400 " in secure.recv(4096).split(b"\r\n", 1)[0]
    assert all("control" not in seen.path for seen in superlink.seen)


def test_twenty_megabytes_pass_and_touch_no_disk(door: Door, superlink: StubSuperLink) -> None:
    body = random.Random(1).randbytes(20_000_000)
    assert door.call("/v1/fleet/push-object", body).status == 200
    [seen] = superlink.seen
    assert (seen.size, seen.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert [path for path in door.folder.glob("temporary_*/**/*") if path.is_file()] == []
    assert "buffered to a temporary file" not in door.log


def test_a_body_beyond_the_limit_is_refused(door: Door, superlink: StubSuperLink) -> None:
    with (
        socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain,
        door.context().wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(
            b"POST /v1/fleet/push-object HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108865\r\n\r\n"
        )
        assert b" 413 " in secure.recv(4096).split(b"\r\n", 1)[0]
    assert superlink.seen == []


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_what_the_superlink_answers_is_not_changed(door: Door, superlink: StubSuperLink, status: int) -> None:
    superlink.status = status
    answer = door.call("/v1/fleet/get-run")
    assert (answer.status, answer.body) == (status, ANSWER)


def test_a_dead_superlink_is_an_error_that_nodes_try_again(
    nginx: str, deploy: Path, authority: Authority, folder: Folder
) -> None:
    with (
        StubSuperLink(authority.issue("server", "localhost")) as mortal,
        Door.fleet(nginx, deploy / "nginx", folder, authority, mortal.port) as door,
    ):
        assert door.call("/v1/fleet/get-run").status == 200
        mortal.close()
        for _ in range(3):
            answer = door.call("/v1/fleet/get-run")
            assert (answer.status, answer.body) == (502, b"")


def test_whoever_took_the_superlinks_port_gets_nothing(
    nginx: str, deploy: Path, authority: Authority, stranger: Authority, folder: Folder
) -> None:
    with (
        StubSuperLink(stranger.issue("impostor", "localhost")) as impostor,
        Door.fleet(nginx, deploy / "nginx", folder, authority, impostor.port) as door,
    ):
        assert door.call("/v1/fleet/push-object", b"weights").status == 502
        assert impostor.seen == []


def test_old_tls_and_plain_http_are_refused(door: Door) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain)
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as plain:
        plain.sendall(b"POST /v1/fleet/pull-messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = plain.recv(4096)
    assert b" 400 " in answer.split(b"\r\n", 1)[0]
    assert answer.endswith(b"\r\n\r\n")


def test_a_flood_is_told_to_come_again(door: Door) -> None:
    """The answer must be 503, which a node tries again; Flower's node ends itself on 429."""
    begun = b"POST /v1/fleet/get-run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"
    with ExitStack() as held:
        for _ in range(128):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=10))
            door_side = door.context().wrap_socket(plain, server_hostname="127.0.0.1")
            held.enter_context(door_side).sendall(begun)
        answers = [door.call("/v1/fleet/get-run") for _ in range(20)]
    assert (answers[-1].status, answers[-1].body) == (503, b"")
    assert {answer.status for answer in answers} <= {200, 503}


def test_it_runs_without_root_and_says_nothing_odd(door: Door) -> None:
    assert "test is successful" in door.checked.stderr
    assert "[emerg]" not in door.log and "[warn]" not in door.log
    if os.getuid() == 0:
        assert (door.folder / "nginx.pid").stat().st_uid != 0


def test_a_client_certificate_is_asked_for_where_the_federation_wants_it(
    nginx: str,
    deploy: Path,
    authority: Authority,
    stranger: Authority,
    superlink: StubSuperLink,
    folder: Folder,
) -> None:
    good = authority.issue("site-1", client=True)
    revoked = authority.issue("site-2", client=True)
    refused = {
        "none": None,
        "foreign": stranger.issue("site-1", client=True),
        "revoked": revoked,
        "expired": authority.issue("site-1", client=True, days=-2),
        "a server's": authority.issue("server", "localhost"),
    }
    with Door.fleet(
        nginx, deploy / "nginx", folder, authority, superlink.port, revoked=(revoked.serial,)
    ) as door:
        for whose, certificate in refused.items():
            answer = door.call("/v1/fleet/pull-messages", client=certificate)
            assert (answer.status, answer.body) == (400, b""), whose
        assert superlink.seen == []
        assert door.call("/v1/fleet/pull-messages", client=good).status == 200
        assert door.call("/v1/control/start-run", b"secret", client=good).status == 404
        written = (door.folder / "access.log").read_text()
        assert '"CN=site-1" "POST /v1/fleet/pull-messages HTTP/1.1" 200' in written
        assert '"CN=site-2" "POST /v1/fleet/pull-messages HTTP/1.1" 400' in written
        assert "secret" not in written
        assert len(superlink.seen) == 1
