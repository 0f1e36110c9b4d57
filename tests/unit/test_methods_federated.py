"""A federation of one site trains every method as the same site does alone, bit by bit, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from client.evaluation import evaluate
from client.policy import check_training, check_update
from client.refusals import RefusalError
from client.site import forget_sites, open_site
from client.training import train
from hqgnet.config import PHASES, Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.update import EvaluateRequest, SiteError
from hqgnet.model_file import load_model
from hqgnet.networks import networks_of
from hqgnet.training.central import train_centrally
from server.global_model import GlobalModel
from tests.train_requests import train_request
from tests.unit.client.recorded_site import SiteWith, write_site
from tests.unit.training.systems import CPU, METHODS, edited


@pytest.fixture
def site_with(tiny_site_files: list[Path], tmp_path: Path) -> SiteWith:
    return lambda **keys: write_site(tiny_site_files[0], tmp_path / "site", **keys)


def federate(experiment: Experiment, file: Path) -> GlobalModel:
    """Run all phases with one site, whose process forgets everything between rounds."""
    model, global_round = GlobalModel(experiment), 0
    for phase in PHASES:
        length = experiment.phase(phase)
        if length.rounds:
            model.begin_phase()
        frozen = model.frozen(phase)
        for number in range(1, length.rounds + 1):
            forget_sites()
            site = open_site(file, "run-1", experiment.to_json())
            global_round += 1
            request = train_request(
                experiment,
                phase=phase,
                round=number,
                global_round=global_round,
                first_step=(number - 1) * length.steps,
                steps=length.steps,
                frozen=digest_arrays(frozen) if frozen else None,
            )
            sent = model.outgoing(phase) | (frozen if number == 1 else {})
            check_training(request, experiment, site.config, sent)
            header, update = train(site, request, sent)
            check_update(header, update, request, experiment, site.config, sent)
            expected = model.expected(phase, has_labels=True)
            assert {name: tuple(array.shape) for name, array in update.items()} == {
                name: tuple(form.shape) for name, form in expected.items()
            }
            copied: Arrays = {name: array.copy() for name, array in update.items()}
            model.step(copied)
    return model


def pretrained_task(experiment: Experiment, folder: Path) -> str:
    file = folder / "task.safetensors"
    save_file(networks_of(experiment, seed=8).task.state_dict(), file)
    return str(file)


@pytest.mark.parametrize("roles", [{}, {"enhancer_trained_in_cooperate": False}, {"weights": "task"}])
@pytest.mark.parametrize("method", METHODS)
def test_one_site_federated_is_the_site_alone(
    method: str,
    roles: dict[str, Any],
    tiny_experiment: Experiment,
    tiny_site_files: list[Path],
    site_with: SiteWith,
    tmp_path: Path,
) -> None:
    if "weights" in roles:
        roles = {"weights": pretrained_task(tiny_experiment, tmp_path)}
    experiment = edited(tiny_experiment, **METHODS[method], downstream=roles)
    federated = federate(experiment, site_with())
    site = open_site(tiny_site_files[0], "alone", experiment.to_json())
    alone = train_centrally(experiment, [site.data], CPU).state()
    for name, array in federated.published.items():
        if not name.startswith("discriminator."):
            assert torch.equal(torch.from_numpy(array), alone[name]), name


@pytest.mark.parametrize("method", METHODS)
def test_the_final_model_is_judged_and_used(
    method: str, tiny_experiment: Experiment, site_with: SiteWith, tmp_path: Path
) -> None:
    forget_sites()
    experiment = edited(tiny_experiment, **METHODS[method])
    model, site = GlobalModel(experiment), open_site(site_with(), "run-1", experiment.to_json())
    request = EvaluateRequest(
        run="run-1",
        phase="cooperate",
        round=1,
        split="test",
        with_task=True,
        want_guidance=True,
        final=True,
        experiment=experiment.to_json(),
    )
    sent = model.for_evaluation(model.published, with_task=True)
    header, vector = evaluate(site, request, sent)
    assert (vector is None) == (header.guidance_images == 0) == (model.guidance_size == 0)
    assert "psnr_enhanced" in header.scores["means"]
    path = tmp_path / "model.safetensors"
    model.save(path, model.published, None if vector is None else torch.tensor(vector), {})
    loaded = load_model(path)
    assert loaded.networks.enhance(torch.rand(1, 3, 32, 32), loaded.guidance).shape == (1, 3, 32, 32)


def test_a_site_without_labels_sits_out_where_the_downstream_network_alone_is_trained(
    tiny_experiment: Experiment, site_with: SiteWith
) -> None:
    forget_sites()
    experiment = edited(tiny_experiment, downstream={"enhancer_trained_in_cooperate": False})
    file = site_with()
    images = load_site_config(file).images
    file = site_with(images={"lq": str(images.lq), "hq": str(images.hq)})
    site = open_site(file, "run-1", experiment.to_json())
    request = train_request(experiment, phase="cooperate")
    with pytest.raises(RefusalError) as caught:
        train(site, request, GlobalModel(experiment).outgoing("cooperate"))
    assert caught.value.code is SiteError.REQUEST


def test_of_a_classical_method_the_segmentor_alone_travels(
    tiny_experiment: Experiment, tiny_site_files: list[Path], site_with: SiteWith
) -> None:
    none, some = {"rounds": 0, "steps": 1}, {"rounds": 2, "steps": 2}
    experiment = edited(
        tiny_experiment,
        method="ata",
        phases={"pretrain": none, "enhance": none, "cooperate": some},
        downstream={"enhancer_trained_in_cooperate": False},
    )
    federated = federate(experiment, site_with())
    assert {name.split(".")[0] for name in federated.expected("cooperate", has_labels=True)} == {"task"}
    site = open_site(tiny_site_files[0], "alone", experiment.to_json())
    alone = train_centrally(experiment, [site.data], CPU).state()
    assert alone.keys() == federated.published.keys()
    for name, array in federated.published.items():
        assert torch.equal(torch.from_numpy(array), alone[name]), name
