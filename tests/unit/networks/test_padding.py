"""Padding to a multiple and cropping back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqgnet.networks import pad_to_multiple


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (17, 23), (31, 33), (64, 64), (97, 131)])
@pytest.mark.parametrize("multiple", [16, 32])
def test_round_trip(height: int, width: int, multiple: int) -> None:
    images = torch.rand(2, 3, height, width)
    padded, padding = pad_to_multiple(images, multiple)
    assert padded.shape[2] % multiple == padded.shape[3] % multiple == 0
    assert 0 <= padded.shape[2] - height < multiple
    assert 0 <= padded.shape[3] - width < multiple
    assert torch.equal(padding.crop(padded), images)


def test_fitting_images_are_not_copied() -> None:
    images = torch.rand(1, 1, 32, 64)
    padded, padding = pad_to_multiple(images, 32)
    assert padded is images
    assert padding.crop(padded).data_ptr() == images.data_ptr()


@pytest.mark.parametrize(
    ("height", "width", "modes"), [(20, 27, ("reflect", "reflect")), (3, 27, ("edge", "reflect"))]
)
def test_axes_are_mirrored_where_long_enough_else_repeated(
    height: int, width: int, modes: tuple[str, str]
) -> None:
    images = torch.rand(1, 2, height, width)
    padded, padding = pad_to_multiple(images, 16)
    expected = np.pad(images.numpy(), ((0, 0), (0, 0), (0, 0), (padding.left, padding.right)), mode=modes[1])
    expected = np.pad(expected, ((0, 0), (0, 0), (padding.top, padding.bottom), (0, 0)), mode=modes[0])
    np.testing.assert_array_equal(padded.numpy(), expected)
