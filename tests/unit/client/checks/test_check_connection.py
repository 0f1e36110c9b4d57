"""Clock, certificates and server: real TLS servers on loopback, right and wrong in every way we name."""

from __future__ import annotations

import datetime
import email.utils
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from client.checks.clock import seconds_ahead
from client.checks.examination import Examination, examine
from client.checks.finding import Finding
from client.checks.probe import Answer
from tests.unit.client.checks.hospital import found, make_hospital, write_site_file
from tests.unit.client.checks.loopback import CONTROL, FLEET, FLOWER, Authority, serving, write_site_key

CERTIFICATES = "Certificates and key"
HTML = (200, "text/html", b"<h1>Welcome</h1>")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A site with the keys of a kit, but no server yet."""
    make_hospital(tmp_path)
    write_site_key(tmp_path / "site-1.key")
    return tmp_path


@pytest.fixture
def authority(kit: Path) -> Authority:
    authority = Authority()
    authority.write(kit / "ca.pem")
    return authority


def look(kit: Path, port: int, host: str = "127.0.0.1") -> Examination:
    return examine(site_of(kit, port, host), offline=False)


def site_of(kit: Path, port: int, host: str = "127.0.0.1") -> Path:
    return write_site_file(kit, more=f"server: {{address: '{host}:{port}', ca: ca.pem, key: site-1.key}}\n")


def answering(
    kit: Path, authority: Authority, answers: Mapping[str, tuple[int, str, bytes]] | None = None
) -> Examination:
    with serving(authority.server(kit), answers) as port:
        return look(kit, port)


def certificate_of(examination: Examination) -> Finding:
    return found(examination, "server", CERTIFICATES)


def test_a_right_server_is_green(kit: Path, authority: Authority) -> None:
    examination = answering(kit, authority)
    assert examination.exit_code == 0
    states = {
        (finding.group, finding.title): finding.state
        for finding in examination.findings
        if finding.group in ("Clock", CERTIFICATES, "Server")
    }
    assert states == {
        ("Clock", "skew"): "ok",
        (CERTIFICATES, "authority"): "ok",
        (CERTIFICATES, "site key"): "ok",
        (CERTIFICATES, "server"): "ok",
        ("Server", "name"): "ok",
        ("Server", "port"): "ok",
        ("Server", "encryption"): "ok",
        ("Server", "Flower"): "ok",
        ("Server", "Control"): "ok",
    }
    assert "from this machine's 127.0.0.1" in found(examination, "port").detail
    assert "answered on this machine" in found(examination, "skew").detail


def test_an_expired_server_certificate(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit, first_day=-30, last_day=-2)) as port:
        examination = look(kit, port)
    finding = certificate_of(examination)
    assert finding.state == "problem" and finding.detail.startswith("expired")
    assert "renew" in finding.remedy
    assert examination.exit_code == 10
    assert found(examination, "skew").detail.startswith("unknown")


def test_a_server_certificate_that_is_not_valid_yet(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit, first_day=2)) as port:
        finding = certificate_of(look(kit, port))
    assert finding.state == "problem" and finding.detail.startswith("valid only from")
    assert "clock" in finding.remedy


def test_a_server_certificate_that_expires_soon_is_a_warning(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit, last_day=20)) as port:
        examination = look(kit, port)
    assert certificate_of(examination).state == "warning"
    assert examination.exit_code == 0


@pytest.mark.parametrize("name", ["authority", "somebody"])
def test_another_authority_may_be_somebody_between(kit: Path, authority: Authority, name: str) -> None:
    stranger = Authority(name)  # a forger takes the same name
    with serving(stranger.server(kit)) as port:
        examination = look(kit, port)
    finding = certificate_of(examination)
    assert finding.state == "problem" and "another server, or somebody between" in finding.detail
    assert "telephone" in finding.remedy
    assert found(examination, "encryption").state == "problem"
    assert examination.exit_code == 10


def test_a_certificate_for_another_address(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit, host="federation.example.org")) as port:
        finding = certificate_of(look(kit, port))
    assert finding.detail == "is for federation.example.org, not for 127.0.0.1"


def test_a_certificate_for_another_name(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit, host="federation.example.org")) as port:
        finding = certificate_of(look(kit, port, "localhost"))
    assert finding.detail == "is for federation.example.org, not for localhost"


@pytest.mark.parametrize(
    ("server_ahead_s", "state"),
    [
        (0, "ok"),
        (20, "ok"),
        (-4, "warning"),
        (45, "warning"),
        (-8, "problem"),
        (-4000, "problem"),
        (90, "problem"),
    ],
)
def test_the_clock_against_the_servers(
    kit: Path, authority: Authority, server_ahead_s: float, state: str
) -> None:
    with serving(authority.server(kit), clock_s=server_ahead_s) as port:
        finding = found(look(kit, port), "skew")
    assert finding.state == state, finding
    assert ("timedatectl" in finding.remedy) == (state != "ok")


def test_our_bounds_are_within_flowers() -> None:
    from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE

    from client.checks.clock import MOST_AHEAD_S, MOST_BEHIND_S

    assert MOST_AHEAD_S == SYSTEM_TIME_TOLERANCE
    assert MOST_BEHIND_S < TIMESTAMP_TOLERANCE


def test_a_server_that_says_no_time(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit), dated=False) as port:
        finding = found(look(kit, port), "skew")
    assert finding.state == "warning" and finding.detail.startswith("unknown")


def test_the_skew_in_seconds() -> None:
    server = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)
    date = email.utils.format_datetime(server, usegmt=True)
    here = server.timestamp() + 10
    assert seconds_ahead(Answer(200, "", date, here, here + 1)) == pytest.approx(10.0)
    assert seconds_ahead(Answer(200, "", "yesterday", here, here)) is None
    assert seconds_ahead(Answer(200, "", None, here, here)) is None


def test_a_closed_port(kit: Path, authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nothing else can open it meanwhile
        examination = look(kit, taken.getsockname()[1])
    assert found(examination, "port").state == "problem"
    assert "refused" in found(examination, "port").detail
    assert found(examination, "skew").state == "warning"
    assert certificate_of(examination).state == "warning"
    assert examination.exit_code == 10


def test_a_name_that_does_not_exist(kit: Path, authority: Authority) -> None:
    examination = look(kit, 8443, "no-such-server.invalid")
    assert found(examination, "name").state == "problem"
    assert examination.exit_code == 10


def test_a_server_without_tls(kit: Path, authority: Authority) -> None:
    with serving(None) as port:
        examination = look(kit, port)
    assert found(examination, "encryption").detail.startswith("no TLS comes about")
    assert certificate_of(examination).state == "problem"


def test_a_server_that_says_nothing(kit: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.checks.probe.TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        examination = look(kit, silent.getsockname()[1])
    assert "timed out" in found(examination, "encryption").detail


def test_a_missing_authority_still_shows_the_way(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit)) as port:
        (kit / "ca.pem").unlink()
        examination = look(kit, port)
    assert "cannot be read" in found(examination, "authority").detail
    assert found(examination, "port").state == "ok"
    assert certificate_of(examination).state == "problem"


@pytest.mark.parametrize(
    ("fleet", "state", "words"),
    [
        (FLOWER, "ok", "Fleet interface"),
        ((401, "application/json", b"{}"), "ok", "Fleet interface"),
        (HTML, "problem", "not as Flower's server"),
        ((404, "text/html", b""), "problem", "not as Flower's server"),
        ((502, "text/html", b""), "problem", "not the server behind it"),
        ((405, "text/html", b""), "problem", "not as Flower's server"),
        ((400, "text/html", b"No required SSL certificate was sent"), "problem", "client certificate"),
        ((400, "", b""), "problem", "client certificate"),
    ],
)
def test_what_answers_on_the_fleet_path(
    kit: Path, authority: Authority, fleet: tuple[int, str, bytes], state: str, words: str
) -> None:
    finding = found(answering(kit, authority, {FLEET: fleet}), "Flower")
    assert finding.state == state and words in finding.detail


def test_a_server_that_demands_a_client_certificate(kit: Path, authority: Authority) -> None:
    with serving(authority.server(kit), client_authority=kit / "ca.pem") as port:
        finding = found(look(kit, port), "Flower")
    assert finding.state == "problem" and "client certificate" in finding.remedy


@pytest.mark.parametrize(
    ("control", "state"),
    [
        (FLOWER, "warning"),
        ((502, "text/html", b""), "warning"),
        ((403, "text/html", b""), "ok"),
        ((404, "text/html", b""), "ok"),
    ],
)
def test_control_must_not_be_reachable(
    kit: Path, authority: Authority, control: tuple[int, str, bytes], state: str
) -> None:
    examination = answering(kit, authority, {FLEET: FLOWER, CONTROL: control})
    assert found(examination, "Control").state == state
    assert examination.exit_code == 0


def test_a_web_proxy_in_the_environment_is_said(
    kit: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert found(answering(kit, authority), "proxy").state == "warning"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "proxy" not in {finding.title for finding in answering(kit, authority).findings}


def test_offline_leaves_the_network_alone(kit: Path, authority: Authority) -> None:
    examination = examine(site_of(kit, 9), offline=True)
    assert {finding.group for finding in examination.findings}.isdisjoint({"Clock", "Server"})
    assert found(examination, "authority").state == "ok"
    assert found(examination, "site key").state == "ok"
    assert "--offline" in examination.left_out and examination.exit_code == 0
