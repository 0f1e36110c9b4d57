"""EnlightenGAN's self feature preserving loss against loops over maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqgnet.losses import self_feature_loss


def normalized(features: np.ndarray) -> np.ndarray:
    result = np.empty_like(features)
    for index in np.ndindex(*features.shape[:2]):
        maps = features[index]
        result[index] = (maps - maps.mean()) / np.sqrt(maps.var() + 1e-5)
    return result


def test_equals_the_naive_computation() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5))
    expected = np.mean((normalized(first) - normalized(second)) ** 2)
    found = self_feature_loss(torch.from_numpy(first), torch.from_numpy(second))
    assert float(found) == pytest.approx(float(expected))


def test_scale_and_shift_of_a_map_do_not_count() -> None:
    features = torch.randn(1, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(self_feature_loss(3 * features - 2, features)) == pytest.approx(0, abs=1e-8)
    assert float(self_feature_loss(-features, features)) > 3


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        self_feature_loss(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 2, 2))
