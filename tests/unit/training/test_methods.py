"""Every method trains, resumes, is saved and used through the same doors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.exchange.groups import shared_keys, trained_groups
from hqgnet.guidance import mean_guidance, site_guidance
from hqgnet.inference import enhance_image
from hqgnet.model_file import load_model, save_model
from hqgnet.training.central import train_centrally
from hqgnet.training.local import LocalTrainer
from hqgnet.training.state import PrivateState
from tests.unit.training.systems import CPU, METHODS, changed_groups, edited, snapshot


@pytest.fixture(params=METHODS)
def experiment(request: pytest.FixtureRequest, tiny_experiment: Experiment) -> Experiment:
    return edited(tiny_experiment, **METHODS[request.param])


def phases_of(experiment: Experiment) -> list[PhaseName]:
    return [phase for phase in PHASES if experiment.phase(phase).rounds]


def test_every_phase_trains_its_groups_with_finite_losses(
    experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    for phase in phases_of(experiment):
        before = snapshot(trainer)
        result = trainer.train(phase, 0, 3)
        assert changed_groups(trainer, before) == set(result.trained_groups)
        assert set(result.trained_groups) == set(trained_groups(phase, experiment))
        assert result.losses and all(torch.isfinite(torch.tensor(v)) for v in result.losses.values())
    assert "segmentation" in result.losses


def test_discriminators_take_steps_of_their_own_length(
    experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    training = experiment.training.model_copy(update={"discriminator_rate_factor": 8.0})
    trainer = LocalTrainer(experiment.model_copy(update={"training": training}), tiny_sites[:1], CPU)
    before = snapshot(trainer)
    trainer.train("enhance", 0, 1)
    longest = {
        group: max(
            float((value.detach() - before[name]).abs().max())
            for name, value in trainer.networks.named_parameters()
            if name.startswith(f"{group}.")
        )
        for group in ("generator", "discriminator")
    }
    # Adam's first step is the learning rate, whatever the gradient.
    assert longest["generator"] == pytest.approx(training.learning_rate, rel=0.01)
    assert longest["discriminator"] == pytest.approx(8 * training.learning_rate, rel=0.01)


@pytest.mark.parametrize("phase", ["enhance", "cooperate"])
def test_a_resumed_site_continues_the_uninterrupted_one(
    phase: PhaseName, experiment: Experiment, tiny_sites: list[SiteData], tmp_path: Path
) -> None:
    unbroken = LocalTrainer(experiment, tiny_sites[:1], CPU)
    unbroken.train(phase, 0, 5)

    before = LocalTrainer(experiment, tiny_sites[:1], CPU)
    before.train(phase, 0, 3)
    PrivateState(tmp_path).save(phase, 3, before.private_state(phase))
    sent = shared_keys(before.networks, phase, experiment)
    state = before.state()
    shared = {name: state[name].clone() for name in sent}
    assert not any(name.startswith("discriminator.") for name in shared)

    after = LocalTrainer(experiment, tiny_sites[:1], CPU)
    after.load(shared)
    stored = PrivateState(tmp_path).load(phase, 3)
    assert stored is not None
    after.load_private_state(phase, stored.tensors)
    after.train(phase, 3, 2)
    for expected, found in (
        (unbroken.state(), after.state()),
        (unbroken.private_state(phase), after.private_state(phase)),
    ):
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert torch.equal(value, found[name]), name


def test_fresh_private_state_forgets_what_a_process_did_before(
    experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    initial = snapshot(trainer)
    runs = []
    for _ in range(2):
        trainer.load(initial)
        trainer.load_private_state("enhance", {})
        trainer.train("enhance", 0, 3)
        runs.append(snapshot(trainer))
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_a_published_model_enhances_without_what_stays_at_the_site(
    experiment: Experiment, tiny_sites: list[SiteData], tmp_path: Path
) -> None:
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    trainer.train("enhance", 0, 2)
    guidance, count = mean_guidance(trainer.networks, tiny_sites[:1], 48, CPU)
    assert (guidance is None) == (count == 0) == (experiment.method != "hqgnet")
    path = tmp_path / "model.safetensors"
    save_model(path, trainer.networks, experiment, guidance=guidance)
    model = load_model(path)
    published = {"hqgnet": {"cue_extractor", "generator", "task"}}
    saved = {name.split(".")[0] for name in _names(path)} - {"guidance"}
    assert saved == published.get(experiment.method, {"generator", "task"})
    image = torch.rand(3, 40, 61, generator=torch.Generator().manual_seed(0))
    enhanced = enhance_image(model, image, model.guidance)
    assert enhanced.shape == image.shape and bool(enhanced.isfinite().all())
    guide = site_guidance(trainer.networks, tiny_sites[0], experiment, CPU)
    lq = torch.rand(1, 3, 48, 48)
    with torch.no_grad():
        expected = trainer.networks.eval().enhance(lq, guide)
        # Channels last, in which the trainer computes, adds in another order.
        torch.testing.assert_close(model.networks.enhance(lq, guide), expected, atol=1e-4, rtol=0)


def _names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:
        return list(opened.keys())


def test_the_pool_is_bounded_private_and_holds_generated_images(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    experiment = edited(tiny_experiment, **METHODS["stillgan"])
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    trainer.train("enhance", 0, 4)
    private = trainer.private_state("enhance")
    pools = {name: value for name, value in private.items() if name.startswith("private.pool.")}
    assert {name: tuple(value.shape) for name, value in pools.items()} == {
        "private.pool.hq.images": (3, 3, 48, 48),
        "private.pool.lq.images": (3, 3, 48, 48),
    }
    assert not set(private) & set(shared_keys(trainer.networks, "enhance", experiment))


def test_the_feature_network_of_enlightengan_is_pretrained_and_then_frozen(
    tiny_experiment: Experiment, tiny_sites: list[SiteData], tmp_path: Path
) -> None:
    first = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    first.train("pretrain", 0, 2)
    file = tmp_path / "cues.safetensors"
    save_model(file, first.networks, tiny_experiment, guidance=None)
    phases = {name: {"rounds": 1, "steps": 1} for name in PHASES} | {"pretrain": {"rounds": 0, "steps": 1}}
    experiment = edited(
        tiny_experiment,
        method="enlightengan",
        phases=phases,
        enlightengan={"feature_network": str(file)},
    )
    trainer = train_centrally(experiment, tiny_sites[:1], CPU)
    trunk = {n: v for n, v in first.state().items() if n.startswith("cue_extractor.trunk.")}
    found = trainer.state()
    assert trunk and all(torch.equal(value, found[name]) for name, value in trunk.items())


def test_a_run_starts_from_an_earlier_ones_enhancer(
    tiny_experiment: Experiment, tiny_sites: list[SiteData], tmp_path: Path
) -> None:
    earlier = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU)
    earlier.train("enhance", 0, 2)
    file = tmp_path / "enhancer.safetensors"
    save_model(file, earlier.networks, tiny_experiment, guidance=None)
    none, two = {"rounds": 0, "steps": 1}, {"rounds": 1, "steps": 2}
    experiment = edited(
        tiny_experiment,
        start_from=str(file),
        phases={"pretrain": none, "enhance": none, "cooperate": two},
        downstream={"enhancer_trained_in_cooperate": False},
    )
    trainer = train_centrally(experiment, tiny_sites[:1], CPU)
    found = trainer.state()
    for name, value in earlier.state().items():
        if name.startswith(("cue_extractor.", "generator.")):
            assert torch.equal(value, found[name]), name
    assert not torch.equal(earlier.state()["task.last.weight"], found["task.last.weight"])
