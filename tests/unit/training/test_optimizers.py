"""Adam: against torch's plain one, and its moments as they lie in memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqgnet.training.optimizers import NamedAdam
from hqgnet.training_config import TrainingConfig


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3))
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def take(adam: NamedAdam | torch.optim.Optimizer, model: nn.Module, seed: int) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    adam.zero_grad()
    model(images).square().mean().backward()
    adam.step()


def plain_adam(model: nn.Module) -> torch.optim.Adam:
    betas = TrainingConfig().betas
    return torch.optim.Adam(model.parameters(), lr=1e-3, betas=betas, foreach=False, fused=False)


def test_it_is_torchs_adam_to_rounding() -> None:
    ours, plain = network(), network()
    adam = NamedAdam(ours.named_parameters(), TrainingConfig(), 1e-3)
    reference = plain_adam(plain)
    for step in range(5):
        take(adam, ours, step)
        take(reference, plain, step)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_scaled_step_is_so_much_shorter_and_the_next_may_be_whole() -> None:
    ours, plain = network(), network()
    adam = NamedAdam(ours.named_parameters(), TrainingConfig(), 1e-3)
    reference = plain_adam(plain)
    for step, factor in enumerate((1.0, 0.25, 1.0)):
        adam.scale(factor)
        reference.param_groups[0]["lr"] = factor * 1e-3
        take(adam, ours, step)
        take(reference, plain, step)
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_restored_moments_belong_to_their_weights() -> None:
    """A disk keeps numbers row by row; the fused step walks over them as the parameter lies in memory."""
    unbroken, resumed = network(), network()
    adam = NamedAdam(unbroken.named_parameters(), TrainingConfig(), 1e-3)
    take(adam, unbroken, 0)
    kept = {name: value.contiguous() for name, value in adam.state().items()}
    resumed.load_state_dict(unbroken.state_dict())
    again = NamedAdam(resumed.named_parameters(), TrainingConfig(), 1e-3)
    again.load_state(kept)
    for step in (1, 2):
        take(adam, unbroken, step)
        take(again, resumed, step)
    for one, other in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_restored_moment_is_a_copy() -> None:
    model = network()
    adam = NamedAdam(model.named_parameters(), TrainingConfig(), 1e-3)
    take(adam, model, 0)
    kept = adam.state()
    before = {name: value.clone() for name, value in kept.items()}
    adam.load_state(kept)
    take(adam, model, 1)
    assert all(torch.equal(value, before[name]) for name, value in kept.items())
    assert float(adam.state()["0.weight.step"]) == pytest.approx(2)
