"""What ``flwr`` answers, and what we make of it."""

from __future__ import annotations

import tomllib

import pytest

from hqgnet.errors import ConfigurationError, RunFailedError, ServerDownError
from server.federation import Federation
from server.flower_app import SETTINGS, app_project, settings_toml
from server.launch.addresses import is_loopback, local_address
from server.launch.control import FlowerControl, FlowerRun, parse_answer
from server.launch.health import answers, health

UNAVAILABLE = "Connection to the SuperLink is unavailable. Please check your network connection."


def test_a_good_answer_is_read_beside_other_words() -> None:
    assert parse_answer("flwr run", 'Building...\n{"success": true, "run-id": "7"}\n', "")["run-id"] == "7"


def test_a_superlink_that_is_away_is_told_from_one_that_refuses() -> None:
    with pytest.raises(ServerDownError, match=r"does not answer flwr run.*hqgnet-server up"):
        parse_answer("flwr run", f'{{"success": false, "error-message": "Error: {UNAVAILABLE}"}}', "")
    with pytest.raises(RunFailedError, match="flwr stop: was refused: Run 7 is finished"):
        parse_answer("flwr stop", '{"success": false, "error-message": "Run 7 is\\n finished"}', "")


@pytest.mark.parametrize("output", ["", "no such option", '{"success": tr', "[1]"])
def test_no_answer_at_all_is_a_fault_of_the_installation(output: str) -> None:
    with pytest.raises(ConfigurationError, match="flwr list: gave no answer"):
        parse_answer("flwr list", output, "No module named flwr")


def test_the_real_command_says_that_nothing_answers(federation: Federation) -> None:
    with pytest.raises(ServerDownError):
        FlowerControl(federation).runs()
    written = tomllib.loads((federation.flower_home / "config.toml").read_text())
    connection = written["superlink"][written["superlink"]["default"]]
    assert connection == {
        "address": f"127.0.0.1:{federation.server.port}",
        "root-certificates": str(federation.ca_certificate),
    }
    assert not answers(federation) and health(federation) == "down"


def test_without_provisioning_nothing_is_asked_and_no_folder_made(federation: Federation) -> None:
    elsewhere = federation.model_copy(update={"home": federation.home / "elsewhere"})
    with pytest.raises(ConfigurationError, match=r"ca\.pem: is missing\. Run `hqgnet-server provision"):
        FlowerControl(elsewhere).runs()
    assert not elsewhere.home.exists()


def test_a_command_that_hangs_is_given_up(federation: Federation) -> None:
    with pytest.raises(ServerDownError, match=r"did not answer flwr list within 0\.01 s"):
        FlowerControl(federation, limit_s=0.01).runs()


def test_runs_are_over_or_not() -> None:
    assert FlowerRun(1, "finished:stopped", 1.0).finished
    assert not any(FlowerRun(1, status, 1.0).finished for status in ("pending", "starting", "running"))


@pytest.mark.parametrize(
    ("host", "address", "loopback"),
    [
        ("127.0.0.1", "127.0.0.1:8443", True),
        ("localhost", "localhost:8443", True),
        ("::1", "[::1]:8443", True),
        ("0.0.0.0", "127.0.0.1:8443", False),
        ("::", "[::1]:8443", False),
        ("10.0.0.5", "10.0.0.5:8443", False),
        ("federation.example.org", "federation.example.org:8443", False),
    ],
)
def test_this_machine_reaches_its_own_superlink(host: str, address: str, loopback: bool) -> None:
    server = {"address": "a.example:1", "host": host}
    federation = Federation.model_validate({"name": "a", "server": server, "sites": [{"name": "b"}]})
    assert (local_address(federation), is_loopback(federation)) == (address, loopback)


def test_settings_survive_toml() -> None:
    settings = {"experiment": 'a "b"\\c\n\x7fü', "seed": -1, "overwrite": True, "resume": False}
    assert tomllib.loads(settings_toml(settings)) == settings
    project = tomllib.loads(app_project("name", "1.2.3", ["a/**/*.py"]))
    assert project["tool"]["flwr"]["app"]["config"] == dict(SETTINGS)
    assert project["tool"]["flwr"]["app"]["fab-include"] == ["a/**/*.py"]
