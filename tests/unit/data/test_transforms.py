from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from PIL import Image

from hqgnet.data.transforms import (
    IMAGE,
    MASK,
    LetterboxResized,
    RandomFlips,
    letterbox,
    resize_longer_side,
    resize_mask,
    training_transforms,
)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((3, 100, 60), 50, (3, 50, 30)),
        ((1, 60, 100), 50, (1, 30, 50)),
        ((3, 20, 24), 48, (3, 40, 48)),
        ((1, 1, 300), 30, (1, 1, 30)),
    ],
)
def test_longer_side_becomes_size(shape: tuple[int, ...], size: int, expected: tuple[int, ...]) -> None:
    assert resize_longer_side(torch.rand(shape), size).shape == expected


def test_an_image_of_the_right_size_is_untouched() -> None:
    image = torch.rand(3, 48, 30)
    assert resize_longer_side(image, 48) is image


def test_reduction_agrees_with_pillow() -> None:
    samples = np.random.default_rng(0).random((90, 120)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(samples).resize((40, 30), Image.Resampling.BILINEAR))
    ours = resize_longer_side(torch.from_numpy(samples)[None], 40)[0]
    np.testing.assert_allclose(ours.numpy(), pillow, atol=1e-5)


def test_masks_stay_binary_and_keep_the_share_of_thin_lines() -> None:
    mask = torch.zeros(1, 400, 400)
    columns = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:40]
    mask[:, :, columns] = 1  # lines of one pixel, 10 %
    small = resize_mask(mask, 150)
    assert set(small.unique().tolist()) == {0.0, 1.0}
    assert float(small.mean()) == pytest.approx(0.1, abs=0.03)


def test_letterbox_centres_on_black() -> None:
    boxed = letterbox(torch.ones(1, 2, 5), 5)
    assert boxed[0].tolist() == [[0] * 5, [1] * 5, [1] * 5, [0] * 5, [0] * 5]
    assert letterbox(torch.ones(1, 5, 2), 5)[0].sum(dim=0).tolist() == [0, 5, 5, 0, 0]


def test_image_and_mask_stay_aligned() -> None:
    mask = torch.zeros(1, 60, 90)
    mask[:, 20:40, 30:60] = 1
    boxed = LetterboxResized(45)({IMAGE: mask.repeat(3, 1, 1), MASK: mask})
    assert boxed[IMAGE].shape == (3, 45, 45)
    assert torch.equal((boxed[IMAGE][:1] > 0.5).float(), boxed[MASK])


def test_from_files_to_stored_tensors(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(samples).save(tmp_path / "a.png")
    Image.fromarray((samples[..., 0] > 127).astype(np.uint8)).save(tmp_path / "m.png")
    item = training_transforms(40, 3)({IMAGE: tmp_path / "a.png", MASK: tmp_path / "m.png"})
    assert (item[IMAGE].dtype, item[MASK].dtype) == (torch.float16, torch.uint8)
    assert torch.allclose(
        item[IMAGE][:, 5:35].float().permute(1, 2, 0), torch.from_numpy(samples) / 255, atol=3e-4
    )
    assert torch.equal(item[MASK][0, 5:35], torch.from_numpy(samples[..., 0] > 127).to(torch.uint8))


def test_flips_are_the_same_for_image_and_mask_and_cover_all_four() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4)
    variants = [image, image.flip(1), image.flip(2), image.flip(1, 2)]
    flips = RandomFlips(seed=5)
    seen = []
    for _ in range(200):
        sample = flips({IMAGE: image, MASK: image + 100})
        assert torch.equal(sample[MASK], sample[IMAGE] + 100)
        assert not isinstance(sample[IMAGE], MetaTensor)
        seen.append(next(n for n, variant in enumerate(variants) if torch.equal(variant, sample[IMAGE])))
    assert all(30 < seen.count(number) < 70 for number in range(4))
    again = RandomFlips(seed=5)
    assert torch.equal(again({IMAGE: image})[IMAGE], variants[seen[0]])


def test_monais_global_setting_is_left_alone() -> None:
    before = get_track_meta()
    RandomFlips(seed=1)({IMAGE: torch.rand(1, 3, 3)})
    assert get_track_meta() is before
