"""The page of ``hqgnet-server status``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hqgnet.errors import ConfigurationError
from server.cli import main
from server.federation import Federation
from server.launch.checks import check_provisioned
from server.launch.glance import RunProgress
from server.launch.status import ServerStatus, SiteStatus, page


def status(**changes: object) -> ServerStatus:
    card = {"name": "site-1", "lq": 120, "hq": 80, "masks": True}
    sites = (
        SiteStatus("site-1", "online", "2026-11-23T04:46:23+00:00", card),
        SiteStatus("eye-clinic", "never seen", None, None),
    )
    runs = (
        RunProgress("second", "running", phase="enhance", round=3, rounds=40, seconds=12.34, left_out=("x",)),
        RunProgress("first", "failed", exit_code=21, reason="too few sites", phase="pretrain", rounds=4),
        RunProgress("zeroth", "failed", exit_code=130, reason="was stopped"),
    )
    facts = {
        "federation": "retina",
        "address": "127.0.0.1:8443",
        "answers": True,
        "health": "SERVING",
        "service": {"pid": 7, "superlink_starts": 3},
        "database_bytes": 3 * 2**20,
        "sites": sites,
        "runs": runs,
        "warnings": ("server: certificate expires on 2026-12-01",),
    }
    return ServerStatus(**(facts | changes))  # type: ignore[arg-type]


def test_it_is_read_at_a_glance() -> None:
    lines = page(status()).splitlines()
    assert lines[1] == (
        "  server    127.0.0.1:8443  answers, health SERVING, up, process 7, SuperLink restarted 2 times"
    )
    assert "sites     1 of 2 online" in lines
    assert any("site-1" in line and "120 LQ, 80 HQ, masks" in line for line in lines)
    assert any("eye-clinic" in line and "never seen" in line and "no data card" in line for line in lines)
    [running] = [line for line in lines if "second" in line]
    assert "enhance 3/40" in running and "12.3 s a round" in running
    assert "    left out: x" in lines and "    exit code 21: too few sites" in lines
    [stopped] = [line for line in lines if "zeroth" in line]
    assert "stopped" in stopped
    assert lines[-1].startswith("warning: server: certificate")
    assert max(map(len, lines)) <= 110


def test_it_says_when_nothing_is_there() -> None:
    text = page(status(answers=False, health="down", service=None, runs=(), warnings=()))
    assert "does not answer, health down, not run by hqgnet-server up" in text
    assert text.endswith("none yet")


def test_programs_get_all_of_it() -> None:
    read = json.loads(status(health="NOT_SERVING").to_json())
    assert read["up"] is False and read["sites"][0]["card"]["lq"] == 120
    assert read["runs"][0]["phase"] == "enhance"


def test_the_command_tells_by_its_exit_code(
    federation: Federation, federation_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(federation_file), "--json"]) == 22
    read = json.loads(capsys.readouterr().out)
    assert [site["state"] for site in read["sites"]] == ["not registered"] * 2
    assert read["service"] is None and read["database_bytes"] == 0


def test_without_provisioning_nothing_starts(
    federation_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", str(federation_file)]) == 10
    said = capsys.readouterr().err
    assert said.count("is missing") == 4 and "hqgnet-server provision" in said


def test_a_home_that_is_open_to_others_is_refused(federation: Federation) -> None:
    federation.home.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        check_provisioned(federation)


def test_an_expired_certificate_is_refused_and_one_that_ends_soon_told(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from server.provision.certificates import now

    def later(days: int) -> None:
        for module in ("server.launch.checks", "server.provision.expiry"):
            monkeypatch.setattr(f"{module}.now", lambda: now() + timedelta(days=days))

    assert check_provisioned(federation) == []
    later(390)
    [warning] = check_provisioned(federation)
    assert warning.startswith("server: certificate expires on") and "renew FEDERATION.yaml server" in warning
    later(400)
    with pytest.raises(ConfigurationError, match=r"certificate of server: expired.*renew"):
        check_provisioned(federation)
