"""A network that a loss runs through has no gradient from it, and is trained again afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqgnet.training.frozen import frozen


def test_gradients_pass_through_and_none_stay() -> None:
    network, images = nn.Linear(3, 1), torch.ones(2, 3, requires_grad=True)
    with frozen(network):
        loss = network(images).sum()
    loss.backward()
    assert images.grad is not None and images.grad.any()
    assert network.weight.grad is None and network.weight.requires_grad


def test_it_is_trained_again_after_a_failure() -> None:
    network = nn.Linear(3, 1)
    with pytest.raises(MemoryError), frozen(network):
        raise MemoryError
    assert all(parameter.requires_grad for parameter in network.parameters())
