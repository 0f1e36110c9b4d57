"""Noise on a guide, as in Fig. 7: Gaussian, Poisson, salt and pepper; the paper does not say how strong."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Noise = Literal["gaussian", "poisson", "salt-pepper"]
NOISES: tuple[Noise, ...] = get_args(Noise)
STRENGTHS = (0.05, 0.1, 0.2, 0.4)

MEANING: dict[Noise, str] = {
    "gaussian": "standard deviation (white is 1)",
    "poisson": "standard deviation at white",
    "salt-pepper": "share of pixels",
}
"""What a strength is."""


def add_noise(image: Tensor, noise: Noise, strength: float, random: np.random.RandomState) -> Tensor:
    """Return a noisy copy of an image, cut off at black and white.

    ``gaussian`` adds noise of standard deviation s to every value. ``poisson`` counts photons, 1 / s^2 of
    them at white: the standard deviation of a value x is s sqrt(x). ``salt-pepper`` turns each pixel, in all
    channels alike, white with probability s / 2 and black with the same.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        noise: Which.
        strength: s, above 0 and at most 1.
        random: Source of the noise; used up alike by all strengths of Gaussian and salt-and-pepper noise, so
            that with equal seeds a weaker noise is the same pattern, only weaker.

    Returns:
        ``(C, H, W)`` in [0, 1].
    """
    values: NDArray[np.floating[Any]] = image.double().numpy()
    noisy: NDArray[np.floating[Any]]
    if noise == "gaussian":
        noisy = values + strength * random.standard_normal(values.shape)
    elif noise == "poisson":
        noisy = random.poisson(values / strength**2) * strength**2
    else:
        drawn = random.random_sample(values.shape[1:])
        noisy = np.where(drawn < strength / 2, 1.0, np.where(drawn >= 1 - strength / 2, 0.0, values))
    return torch.from_numpy(noisy.clip(0, 1)).to(image.dtype)


def random_source(seed: int, *names: object) -> np.random.RandomState:
    """Return random numbers that are the same on every machine: a source for each seed and name."""
    digest = hashlib.sha256(":".join(map(str, (seed, *names))).encode()).digest()
    # RandomState, not Generator: its numbers are promised never to change between versions of numpy.
    return np.random.RandomState(np.frombuffer(digest, dtype="<u4"))
