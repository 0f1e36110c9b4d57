"""A site's training on two processes is that on one; and a process that dies is told of, at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.refusals import code_of
from hqgnet.config import Experiment, PhaseName
from hqgnet.cue_bank import CueBank, CueEntry
from hqgnet.data.site_data import SiteData
from hqgnet.errors import RunFailedError
from hqgnet.exchange.update import SiteError
from hqgnet.training.gradient_correction import correcting
from hqgnet.training.local import LocalResult, LocalTrainer
from hqgnet.training.parallel.team import _OPEN, Team, close_team
from hqgnet.training.proximal import Proximal
from tests.unit.training.systems import edited

CPU = torch.device("cpu")
STEPS = 2

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo"),
]


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    close_team()


def on_two(site: SiteData) -> SiteData:
    return replace(site, config=site.config.model_copy(update={"device": "cpu", "devices": ("cpu", "cpu")}))


def alone(site: SiteData) -> SiteData:
    return replace(site, config=site.config.model_copy(update={"devices": None}))


def under_way(private: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return private state as of long training, in which Adam moves weights in proportion to the gradient.

    At its first steps it moves them by the gradient's sign: rounding then decides wherever a gradient is near
    0, and one process differs from itself as soon as the images of its batches come in another order.
    """
    known = {"step": 1e4, "exp_avg": 0.0, "exp_avg_sq": 1.0}
    return {
        name: torch.full_like(value, known[name.rpartition(".")[2]]) if name.startswith("adam.") else value
        for name, value in private.items()
    }


def trained(experiment: Experiment, site: SiteData, phase: PhaseName) -> tuple[LocalTrainer, LocalResult]:
    moments = LocalTrainer(experiment, [alone(site)], CPU)
    moments.train(phase, 0, 1)
    trainer = LocalTrainer(experiment, [site], CPU)
    trainer.load_private_state(phase, under_way(moments.private_state(phase)))
    names = [name for name, _ in trainer.networks.named_parameters() if name.startswith("generator.")]
    # What a federation's strategy adds acts on the mean of the gradients.
    with correcting([Proximal(trainer.networks, names, 0.1)]):
        return trainer, trainer.train(phase, 0, STEPS)


CASES: dict[str, tuple[dict[str, Any], PhaseName]] = {
    "pretrain": ({}, "pretrain"),
    "enhance": ({}, "enhance"),
    "cooperate": ({}, "cooperate"),
    "variances": ({"ablation": {"inter_variance": 1.0, "intra_variance": 1.0}}, "enhance"),
    "enlightengan": ({"method": "enlightengan"}, "enhance"),
    "stillgan": ({"method": "stillgan", "stillgan": {"pool": 0}}, "enhance"),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one(
    case: str, tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    sections, phase = CASES[case]
    training = {"batch_size": 4, "learning_rate": 1e-4}
    experiment = edited(tiny_experiment, **{"training": training, **sections})
    before = LocalTrainer(experiment, [tiny_sites[0]], CPU).state()
    one, wanted = trained(experiment, tiny_sites[0], phase)
    together, given = trained(experiment, on_two(tiny_sites[0]), phase)
    expected, found = one.state(), together.state()
    assert expected.keys() == found.keys()
    weights = {name for name, _ in one.networks.named_parameters()}
    for name, value in expected.items():
        # Of running statistics torch's own sums lose a digit more than ours.
        relative = 0.0 if name in weights else 1e-4
        torch.testing.assert_close(found[name], value, rtol=relative, atol=1e-5, msg=partial(told, name))
    # What two processes do is what one does, and not just little of it.
    moved, missed = (
        sum(float((there[name] - expected[name]).square().sum()) ** 0.5 for name in weights)
        for there in (before, found)
    )
    assert moved > 1e-4
    assert missed < 0.02 * moved
    assert given.losses == pytest.approx(wanted.losses, abs=1e-5)
    assert one.private_state(phase).keys() == together.private_state(phase).keys()


def told(name: str, text: str) -> str:
    return f"{name}: {text}"


def test_images_of_which_only_some_have_masks_are_dealt_out(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    """Enhancing learns from no mask, and cooperating takes masked images alone: shares are equal in both."""
    site = tiny_sites[0]
    first, *others = site.lq["train"]
    train = (first, *(replace(sample, mask=None) for sample in others))
    partly = replace(site, lq={**site.lq, "train": train})
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    # The eight images are gone through in two steps: one of them has a single mask for two processes.
    phases: tuple[tuple[PhaseName, int], ...] = (("enhance", 2), ("cooperate", 1))
    for phase, steps in phases:
        one, two = (LocalTrainer(experiment, [given], CPU) for given in (alone(partly), on_two(partly)))
        wanted = one.train(phase, 0, steps).losses
        assert two.train(phase, 0, steps).losses == pytest.approx(wanted, rel=1e-2)


def test_a_site_guided_by_a_bank_goes_on_from_phase_to_phase(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    """Its first process keeps its networks over phases, the further ones make theirs anew for each."""
    site = tiny_sites[0]
    images = site.config.images.model_copy(update={"hq": None})
    poor = replace(
        site, config=site.config.model_copy(update={"images": images}), hq=dict.fromkeys(site.hq, ())
    )
    federation = tiny_experiment.federation.model_dump() | {"cue_bank": True}
    experiment = edited(tiny_experiment, training={"batch_size": 4}, federation=federation)
    trainer = LocalTrainer(experiment, [on_two(poor)], CPU, need_hq=False)
    cues = np.random.default_rng(3).normal(0.0, 0.3, (20, 64)).astype(np.float32)
    trainer.batches.lend(CueBank((CueEntry.of(cues, 20.0),)))
    assert trainer.train("enhance", 0, 1).steps == 1
    assert "segmentation" in trainer.train("cooperate", 0, 1).losses


def test_rho_at_its_border_follows_the_gradient_of_the_whole_batch(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    """Of two shares one may point outwards and the other back; what counts is where their mean points."""
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    moments = []
    for site in (alone(tiny_sites[0]), on_two(tiny_sites[0])):
        found = {}
        for border in (0.0, 1.0):
            trainer = LocalTrainer(experiment, [site], CPU)
            for name, parameter in trainer.networks.named_parameters():
                if name.endswith(".rho"):
                    parameter.data.fill_(border)
            trainer.train("enhance", 0, 1)
            private = trainer.private_state("enhance")
            # After one step the first moment is the gradient, but for a factor.
            found |= {
                f"{border} {name}": float(value)
                for name, value in private.items()
                if name.endswith(".rho.exp_avg")
            }
        moments.append(found)
    one, two = moments
    # The discriminator has just taken Adam's first step, of which rounding decides a little (see above).
    assert two == pytest.approx(one, rel=0.05, abs=1e-9)
    assert 0 < sum(value == 0.0 for value in one.values()) < len(one)


def lead(
    team: Team, experiment: Experiment, site: SiteData, before_second_step: Callable[[], object]
) -> None:
    """Take two steps with a team."""
    trainer = LocalTrainer(experiment, [on_two(site)], CPU)
    phase = trainer._phase("enhance")
    with team.leading(trainer.networks, experiment, "enhance", phase, trainer.batches) as batches:
        phase.step(batches, 0)
        before_second_step()
        phase.step(batches, 1)


@pytest.mark.faults
def test_a_process_that_dies_or_hangs_is_told_of(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    close_team()
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    cases = ((signal.SIGKILL, "SIGKILL", 120.0), (signal.SIGSTOP, "did not answer within 15 s", 15.0))
    for signal_number, words, patience_s in cases:
        team = Team([CPU, CPU], patience_s=patience_s)
        (process,) = team.process_ids
        struck = []

        def strike(process: int = process, number: int = signal_number, struck: list[float] = struck) -> None:
            os.kill(process, number)
            struck.append(time.monotonic())

        with pytest.raises(RunFailedError, match=words) as raised:
            lead(team, experiment, tiny_sites[0], strike)
        # A dead one is noticed at once, not after the patience.
        assert time.monotonic() - struck[0] < 60
        assert code_of(raised.value) == SiteError.INTERNAL
        # Nothing is left behind, and the next one can begin.
        assert not Path(f"/proc/{process}").exists() and not team.is_whole
        assert not torch.distributed.is_initialized()


@pytest.mark.faults
def test_after_a_failure_the_next_round_starts_afresh(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    trainer = LocalTrainer(experiment, [on_two(tiny_sites[0])], CPU)
    trainer.train("enhance", 0, 1)
    (process,) = _OPEN[0].process_ids
    os.kill(process, signal.SIGKILL)
    while _OPEN[0].is_whole:
        time.sleep(0.05)
    assert trainer.train("enhance", 1, 1).steps == 1
    assert _OPEN[0].process_ids != [process]
    # Between rounds it lives; a deadline ends a round without ending it.
    (process,) = _OPEN[0].process_ids
    assert trainer.train("enhance", 2, 5, deadline_s=0.0).steps == 1
    assert trainer.train("cooperate", 0, 1).steps == 1
    assert _OPEN[0].process_ids == [process]
