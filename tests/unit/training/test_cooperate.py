"""The cooperative strategy as a plug: gradients of Eq. 17 and 18 for every enhancer, and who is frozen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.networks import networks_of
from hqgnet.training.local import LocalTrainer
from hqgnet.training.phases import phase_of
from tests.unit.training.systems import CPU, METHODS, changed_groups, edited, snapshot

ENHANCERS = {
    "hqgnet": ("generator.", "cue_extractor.trunk.", "cue_extractor.fc."),
    "stillgan": ("generator.",),
    "enlightengan": ("generator.",),
}


def gradients(experiment: Experiment, data: SiteData, weight: float) -> dict[str, torch.Tensor]:
    """Of one joint step, under another lambda_3."""
    training = experiment.training
    weights = training.weights.model_copy(update={"enhancement": weight})
    experiment = experiment.model_copy(update={"training": training.model_copy(update={"weights": weights})})
    trainer = LocalTrainer(experiment, [data], CPU)
    phase_of("cooperate", trainer.networks, experiment, CPU).step(trainer.batches, 0)
    return {
        name: parameter.grad.clone()
        for name, parameter in trainer.networks.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.parametrize("method", METHODS)
def test_the_downstream_loss_reaches_the_enhancer_and_lambda_3_scales_the_enhancement_loss_alone(
    method: str, tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    """Eq. 18: d L / d omega_e = d L_d / d omega_e + lambda_3 d L_e / d omega_e; Eq. 17: L_d alone."""
    experiment = edited(tiny_experiment, **METHODS[method])
    by_weight = {weight: gradients(experiment, tiny_sites[0], weight) for weight in (0.0, 1.0, 3.0)}
    downstream_alone = by_weight[0.0]
    for group in ENHANCERS[method]:
        reached = [name for name in downstream_alone if name.startswith(group)]
        assert reached
        # Without L_e there is nothing but what came through the downstream network.
        assert any(float(downstream_alone[name].abs().max()) > 0 for name in reached), group
    for name in downstream_alone:
        if name.startswith(("generator.", "cue_extractor.trunk.", "backward_generator.")):
            once = by_weight[1.0][name] - downstream_alone[name]
            thrice = by_weight[3.0][name] - downstream_alone[name]
            scale = max(float(by_weight[3.0][name].abs().max()), 1e-6)
            assert torch.allclose(thrice / scale, 3 * once / scale, atol=3e-4), name
        if name.startswith("task."):
            assert torch.allclose(downstream_alone[name], by_weight[3.0][name], atol=1e-6), name
    if method == "stillgan":
        # The way back makes no image that the downstream network sees.
        back = [n for n in downstream_alone if n.startswith("backward_generator.")]
        assert back and all(float(downstream_alone[name].abs().max()) == 0 for name in back)


@pytest.mark.parametrize("method", METHODS)
def test_a_site_without_masks_trains_the_enhancer_alone(
    method: str, tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = site(tmp_path_factory, "fundus", masks=False)
    trainer = LocalTrainer(edited(tiny_experiment, **METHODS[method]), [data], CPU)
    before = snapshot(trainer)
    result = trainer.train("cooperate", 0, 2)
    assert "task" not in changed_groups(trainer, before) and "segmentation" not in result.losses
    assert "generator" in changed_groups(trainer, before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sees", ["enhanced", "original"])
def test_the_downstream_network_learns_alone_from_a_frozen_enhancer(
    method: str, sees: str, tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    roles = {"enhancer_trained_in_cooperate": False, "sees": sees}
    trainer = LocalTrainer(edited(tiny_experiment, **METHODS[method], downstream=roles), tiny_sites[:1], CPU)
    before = snapshot(trainer)
    result = trainer.train("cooperate", 0, 2)
    assert changed_groups(trainer, before) == {"task"} == set(result.trained_groups)
    assert result.losses.keys() == {"segmentation"}


def test_what_the_downstream_network_sees_matters(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    losses = {}
    for sees in ("enhanced", "original"):
        roles = {"enhancer_trained_in_cooperate": False, "sees": sees}
        trainer = LocalTrainer(edited(tiny_experiment, downstream=roles), tiny_sites[:1], CPU)
        torch.nn.init.constant_(trainer.networks.generator.last.bias, 0.5)  # type: ignore[union-attr,arg-type]
        losses[sees] = trainer.train("cooperate", 0, 1).losses["segmentation"]
    assert losses["enhanced"] != losses["original"]


def test_a_frozen_downstream_network_still_trains_the_enhancer(
    tiny_experiment: Experiment, tiny_sites: list[SiteData], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("weights") / "task.safetensors"
    save_file(networks_of(tiny_experiment, seed=8).task.state_dict(), file)
    roles = {"trained_in_cooperate": False, "weights": str(file)}
    experiment = edited(tiny_experiment, downstream=roles)
    found = gradients(experiment, tiny_sites[0], 0.0)
    assert any(name.startswith("generator.") and float(g.abs().max()) > 0 for name, g in found.items())
    assert not any(name.startswith("task.") for name in found)
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    before = snapshot(trainer)
    trainer.train("cooperate", 0, 2)
    assert "task" not in changed_groups(trainer, before)


@pytest.mark.parametrize("method", METHODS)
def test_grades_train_a_grader_and_its_enhancer(
    method: str, tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = site(tmp_path_factory, "ccm")
    settings: dict[str, Any] = {"modality": "ccm", "channels": 1, "image_size": 64}
    settings["downstream"] = {"network": "deepgrading", "task": "grading"}
    experiment = edited(tiny_experiment, **METHODS[method], **settings)
    trainer = LocalTrainer(experiment, [data], CPU)
    assert trainer.has_labels
    before = snapshot(trainer)
    losses = trainer.train("cooperate", 0, 2).losses
    assert {"task", "generator"} <= changed_groups(trainer, before)
    assert losses["grading"] > 0 and "segmentation" not in losses
    probabilities = trainer.networks.eval().predict(torch.rand(2, 1, 64, 64))
    assert probabilities.shape == (2, 4)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
    found = gradients(experiment, data, 0.0)
    assert any(name.startswith("generator.") and float(g.abs().max()) > 0 for name, g in found.items())


def site(factory: pytest.TempPathFactory, modality: str, *, masks: bool = True) -> SiteData:
    """Return one small synthetic site."""
    counts = {"train_lq": 6, "train_hq": 6, "validation_lq": 1, "test_lq": 1, "test_hq": 1}
    size = 64 if modality == "ccm" else 48
    (file,) = make_sites(modality, 1, 5, factory.mktemp("site") / "sites", size=size, **counts)  # type: ignore[arg-type]
    config = load_site_config(file)
    if not masks:
        config = config.model_copy(update={"images": config.images.model_copy(update={"masks": None})})
    return SiteData.open(config)
