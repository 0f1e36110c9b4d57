"""What leaves a site when something is wrong there: a code, never a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client import actions
from client.app import app
from client.guards import outgoing_guidance, outgoing_update
from client.refusals import RefusalError
from client.site import forget_sites, site_file
from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.exchange.update import QueryReply, QueryRequest, SiteError, read_message
from hqgnet.networks import build_networks
from server.wire import read_header, read_refusal, write_request
from tests.train_requests import train_request
from tests.unit.client.recorded_site import SiteWith

Ask = Callable[..., RecordDict]


@pytest.fixture
def own_file(site_with: SiteWith) -> Path:
    """The YAML of a site with a work folder of its own."""
    return site_with()


@pytest.fixture
def ask() -> Ask:
    """Send one request to the ClientApp of a site file."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    forget_sites()

    def send(file: Path, content: RecordDict, kind: str = "query") -> RecordDict:
        message = Message(content, dst_node_id=5, message_type=kind)
        message.metadata.__dict__["_message_id"] = "1"
        reply = app(message, Context(1, 5, {"site-config": str(file)}, RecordDict(), {}))
        assert not reply.has_error()
        return reply.content

    return send


def card_request(experiment: Experiment) -> RecordDict:
    return write_request(
        QueryRequest(run="run-1", kind="data-card", experiment=experiment.to_json()).to_json()
    )


def test_a_site_shows_its_data_card(ask: Ask, own_file: Path, tiny_experiment: Experiment) -> None:
    reply = ask(own_file, card_request(tiny_experiment))
    card = read_message(read_header(reply), QueryReply).card
    assert card is not None and '"name":"site-1"' in card


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError(Problem("/secret", "x", "y")), SiteError.CONFIGURATION),
        (DataError(Problem("/secret", "x", "y")), SiteError.DATA),
        (torch.OutOfMemoryError("/secret"), SiteError.OUT_OF_MEMORY),
        (OSError(28, "/secret"), SiteError.DISK),
        (RuntimeError("/secret/patient-7.png"), SiteError.INTERNAL),
        (RefusalError(SiteError.DIVERGED, "/secret"), SiteError.DIVERGED),
    ],
)
def test_exceptions_leave_as_codes_and_stay_as_text(
    error: Exception,
    code: SiteError,
    ask: Ask,
    own_file: Path,
    tiny_experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    log = tmp_path / "run" / "site.log"
    monkeypatch.setattr(actions, "open_site", fail)
    monkeypatch.setattr(actions, "log_file", lambda file, run: log)
    reply = ask(own_file, card_request(tiny_experiment))
    assert read_refusal(reply) is code
    assert "secret" not in str(reply.config_records)
    assert "secret" in log.read_text()


def test_mistakes_in_the_grades_stay_at_the_site(
    ask: Ask, site_with: SiteWith, tiny_site_files: list[Path], tiny_experiment: Experiment
) -> None:
    folder = tiny_site_files[0].parent / "images"
    images = {"lq": str(folder / "lq"), "hq": str(folder / "hq"), "grades": "grades.csv"}
    file = site_with(images=images)
    (file.parent / "grades.csv").write_text("file,grade\nMüller_1951.png,severe\n")
    reply = ask(file, card_request(tiny_experiment))
    assert read_refusal(reply) is SiteError.DATA
    assert not any(word in str(reply) for word in ("Müller", "severe", "grades"))
    [log] = file.parent.rglob("site.log")
    assert "Müller_1951.png" in log.read_text()


def test_a_site_of_another_modality_declines(ask: Ask, own_file: Path, tiny_experiment: Experiment) -> None:
    other = tiny_experiment.model_copy(update={"modality": "ccm", "channels": 1})
    assert read_refusal(ask(own_file, card_request(other))) is SiteError.CONFIGURATION


def test_a_missing_site_file_is_a_code(ask: Ask, tmp_path: Path, tiny_experiment: Experiment) -> None:
    reply = ask(tmp_path / "absent.yaml", card_request(tiny_experiment))
    assert read_refusal(reply) is SiteError.CONFIGURATION
    assert str(tmp_path) not in str(reply.config_records)


def test_an_unreadable_request_is_declined(ask: Ask, own_file: Path) -> None:
    for content in (RecordDict(), write_request("{}"), write_request('{"protocol":99}')):
        assert read_refusal(ask(own_file, content)) is SiteError.REQUEST


def test_parameters_that_do_not_fit_are_declined(
    ask: Ask, own_file: Path, tiny_experiment: Experiment
) -> None:
    request = train_request(tiny_experiment, phase="pretrain")
    assert read_refusal(ask(own_file, write_request(request.to_json()), "train")) is SiteError.PARAMETERS


def test_diverged_weights_do_not_leave(tiny_experiment: Experiment) -> None:
    networks = build_networks(tiny_experiment.numbers, 3, seed=0)
    state = {name: value.clone() for name, value in networks.state_dict().items()}
    sent = outgoing_update(networks, state, "enhance", tiny_experiment, True)
    assert {name.split(".")[0] for name in sent} == {"cue_extractor", "generator"}
    name = next(iter(sent))
    state[name].view(-1)[0] = float("nan")
    with pytest.raises(RefusalError) as caught:
        outgoing_update(networks, state, "enhance", tiny_experiment, True)
    assert caught.value.code is SiteError.DIVERGED


@pytest.mark.parametrize(
    ("images", "allowed", "leaves"), [(8, True, True), (7, True, False), (100, False, False)]
)
def test_the_mean_cue_leaves_only_as_the_site_allows(images: int, allowed: bool, leaves: bool) -> None:
    vector = outgoing_guidance(torch.ones(64), images, allowed, 8)
    assert (vector is not None) is leaves


def test_a_simulated_node_takes_the_site_of_its_number(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml"):
        (tmp_path / name).touch()
    settings: dict[str, Any] = {"simulation-sites": str(tmp_path / "*.yaml")}
    assert site_file({"partition-id": 1}, settings) == tmp_path / "b.yaml"
    assert site_file({"site-config": "/own.yaml", "partition-id": 1}, settings) == Path("/own.yaml")
    for node in ({"partition-id": 2}, {}):
        with pytest.raises(RefusalError):
            site_file(node, settings)
