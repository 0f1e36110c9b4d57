"""AdaLIN and VIN against the equations written out with torch's own instance and layer normalisation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqgnet.networks import VIN, AdaLIN, frozen_statistics


def eager_adalin(layer: AdaLIN, features: Tensor, condition: Tensor, rho: float) -> Tensor:
    """Eq. 5 and 6, term by term."""
    gamma, beta = F.linear(condition, layer.fc.weight, layer.fc.bias)[:, :, None, None].chunk(2, dim=1)
    instance = (1 + gamma) * F.instance_norm(features, eps=1e-5) + beta
    whole_layer = (1 + gamma) * F.layer_norm(features, features.shape[1:], eps=1e-5) + beta
    return rho * instance + (1 - rho) * whole_layer


def make_layer(rho: float = 0.5) -> AdaLIN:
    torch.manual_seed(0)
    layer = AdaLIN(6, 5)
    nn.init.normal_(layer.fc.weight)
    nn.init.normal_(layer.fc.bias)
    nn.init.constant_(layer.rho, rho)
    return layer


def make_input() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    spread = torch.linspace(0.1, 3.0, 6).view(1, 6, 1, 1)
    features = torch.randn(3, 6, 7, 9, generator=generator) * spread + 2 * spread
    return features, torch.randn(3, 5, generator=generator)


@pytest.mark.parametrize(("rho", "used"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (-0.4, 0.0), (1.7, 1.0)])
def test_adalin_is_equations_5_and_6(rho: float, used: float) -> None:
    layer = make_layer(rho)
    features, condition = make_input()
    torch.testing.assert_close(layer(features, condition), eager_adalin(layer, features, condition, used))


def test_adalin_has_the_equations_gradient() -> None:
    layer = make_layer(0.3)
    features, condition = (tensor.requires_grad_() for tensor in make_input())
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
    inputs = (features, condition, layer.fc.weight)
    folded = torch.autograd.grad((layer(features, condition) * weights).sum(), inputs)
    eager = torch.autograd.grad((eager_adalin(layer, features, condition, 0.3) * weights).sum(), inputs)
    torch.testing.assert_close(folded, eager, rtol=1e-4, atol=1e-4)


def test_fresh_adalin_hardly_scales_or_shifts() -> None:
    features, condition = make_input()
    fresh = AdaLIN(6, 5)
    plain = 0.5 * F.instance_norm(features) + 0.5 * F.layer_norm(features, features.shape[1:])
    assert fresh.rho.item() == 0.5
    torch.testing.assert_close(fresh(features, condition), plain, rtol=0.2, atol=0.2)


@pytest.mark.parametrize(
    ("rho", "towards", "alive"),
    [(1.0, -1, True), (1.2, -1, True), (1.2, 1, False), (0.0, 1, True), (-0.1, -1, False)],
)
def test_rho_can_always_return_but_not_drift(rho: float, towards: int, alive: bool) -> None:
    """``towards`` is the direction in which gradient descent would move rho."""
    layer = make_layer(rho)
    features, condition = make_input()
    with torch.no_grad():
        difference = eager_adalin(layer, features, condition, 1.0) - eager_adalin(
            layer, features, condition, 0.0
        )
    # d loss / d rho = -towards * |difference|^2.
    (-towards * difference * layer(features, condition)).sum().backward()
    assert layer.rho.grad is not None
    assert layer.rho.grad.item() == (
        pytest.approx(-towards * difference.square().sum().item(), rel=1e-4) if alive else 0
    )


def test_adalin_keeps_bfloat16_precise() -> None:
    layer = make_layer()
    features, condition = make_input()
    features = features + 100.0  # Far from zero, where bfloat16 is coarse.
    half = features.bfloat16()
    result = layer(half, condition)
    assert result.dtype == torch.bfloat16
    # Nothing is lost but the rounding of the result.
    expected = eager_adalin(layer, half.float(), condition, 0.5)
    torch.testing.assert_close(result.float(), expected, rtol=2**-8, atol=1e-3)


def test_vin_is_equation_4_with_its_residual() -> None:
    torch.manual_seed(0)
    vin = VIN(6, 5)
    features, condition = make_input()
    normalized = eager_adalin(vin.normalization, features, condition, 0.5)
    activated = torch.where(normalized > 0, normalized, 0.2 * normalized)
    expected = features + F.conv2d(activated, vin.conv3.weight, vin.conv3.bias, padding=1)
    torch.testing.assert_close(vin(features, condition), expected)


def test_frozen_statistics_normalises_by_the_batch_but_remembers_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3)).train()
    norm = network[1]
    images = torch.rand(4, 1, 5, 5)
    network(images)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    others = 5 * torch.rand(4, 1, 5, 5)
    with frozen_statistics(network):
        inside = network(others)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    torch.testing.assert_close(
        inside, F.batch_norm(network[0](others), None, None, norm.weight, norm.bias, training=True)
    )
    network(others)
    assert norm.num_batches_tracked == 2
    assert not torch.equal(norm.running_mean, before["1.running_mean"])


def test_frozen_statistics_in_evaluation_mode_uses_the_running_ones() -> None:
    norm = nn.BatchNorm2d(2)
    norm(3 + torch.rand(8, 2, 4, 4))
    norm.eval()
    images = torch.rand(2, 2, 4, 4)
    expected = norm(images)
    with frozen_statistics(norm):
        assert torch.equal(norm(images), expected)


def test_frozen_statistics_ends_with_an_error_too() -> None:
    norm = nn.BatchNorm2d(2)
    with pytest.raises(RuntimeError), frozen_statistics(norm), frozen_statistics(norm):
        raise RuntimeError
    norm(torch.rand(2, 2, 4, 4))
    assert norm.num_batches_tracked == 1
