"""Learn eight images by heart, as a network that works must be able to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def overfit(network: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float = 3e-3) -> list[float]:
    """Take so many steps of Adam and return the loss at each."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    network.train()
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        history.append(value.item())
    return history


def idle_parameters(network: nn.Module) -> list[str]:
    """Names of the parameters that the last backward pass did not reach."""
    return [
        name
        for name, value in network.named_parameters()
        if value.grad is None or not value.grad.abs().sum() > 0
    ]
