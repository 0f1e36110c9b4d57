"""What a clinician would look for, measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from hqgnet.data.synthetic import ccm, colonoscopy, fundus
from hqgnet.data.synthetic.camera import CAMERAS, camera_of_site
from hqgnet.data.synthetic.scene import Scene
from hqgnet.data.synthetic.strokes import Stroke, stamp
from hqgnet.data.synthetic.texture import fractal_field, smooth_field

CHANNELS = {fundus: 3, ccm: 1, colonoscopy: 3}


def render(module: ModuleType, seed: int, size: int = 128, zoom: float = 1.0) -> Scene:
    rng = np.random.default_rng(seed)
    scene: Scene = module.render(module.Patient.draw(rng), size, zoom, rng)
    return scene


@pytest.mark.parametrize("module", CHANNELS)
@pytest.mark.parametrize("size", [48, 128])
def test_scene_has_its_shape_and_range(module: ModuleType, size: int) -> None:
    scene = render(module, 3, size)
    assert scene.image.shape == (size, size, CHANNELS[module])
    assert scene.mask.shape == (size, size) and set(np.unique(scene.mask)) <= {0, 255}
    assert scene.image.min() >= 0.0 and scene.image.max() <= 1.0
    np.testing.assert_array_equal(scene.image, render(module, 3, size).image)


@pytest.mark.parametrize("seed", range(8))
def test_vessels_are_darker_than_the_retina_and_of_one_tree(seed: int) -> None:
    scene = render(fundus, seed)
    vessel = scene.mask > 0
    beside = ndimage.binary_dilation(vessel, iterations=3) & ~ndimage.binary_dilation(vessel)
    assert scene.image[vessel, 1].mean() < 0.8 * scene.image[beside, 1].mean()
    # Hue: a retina is orange-red.
    red, green, blue = scene.image[~vessel].mean(0)
    assert red > 1.4 * green > 1.4 * blue
    # One tree: most of it hangs together at the disc.
    regions, count = ndimage.label(vessel, np.ones((3, 3)))
    assert count > 0 and np.bincount(regions.ravel())[1:].max() > 0.6 * vessel.sum()


def test_left_and_right_eyes_have_their_disc_on_opposite_sides() -> None:
    sides: dict[str, list[float]] = {"left": [], "right": []}
    for seed in range(24):
        scene = render(fundus, seed, 64)
        if scene.metadata["centred"] == "macula":
            blue = ndimage.gaussian_filter(scene.image[..., 2], 3)
            column = np.unravel_index(np.argmax(blue), blue.shape)[1]
            sides[str(scene.metadata["eye"])].append(float(column))
    assert max(sides["left"]) < 32 < min(sides["right"])


@pytest.mark.parametrize("seed", range(6))
def test_nerve_fibres_are_bright_thin_and_mostly_parallel(seed: int) -> None:
    scene = render(ccm, seed)
    fibre = scene.mask > 0
    assert scene.image[fibre].mean() > 1.5 * scene.image[~fibre].mean()
    assert fibre.sum() / skeletonize(fibre).sum() < 5.0  # mean width in pixels
    assert 0.02 < fibre.mean() < 0.25


def test_the_grade_of_a_cornea_is_the_winding_of_its_nerves_and_nothing_else() -> None:
    def winding(patient: ccm.Patient, seed: int) -> float:
        """Mean of path over distance, in pieces of a quarter of the frame, less 1 for a straight line."""
        pieces = [
            path[start : start + 41]
            for path in (s.points for s in ccm._mains(patient, 1.0, np.random.default_rng(seed)))
            for start in range(0, len(path) - 41, 40)
        ]
        return float(np.mean([40 * ccm.STEP / np.hypot(*(piece[-1] - piece[0])) for piece in pieces])) - 1

    windings = []
    for grade in range(4):
        patients = [ccm.Patient.draw(np.random.default_rng(seed)).graded(grade) for seed in range(30)]
        windings.append([winding(patient, seed) for seed, patient in enumerate(patients)])
        plain = ccm.Patient.draw(np.random.default_rng(7))
        assert replace(patients[7], tortuosity=plain.tortuosity) == plain
        assert len({patient.tortuosity for patient in patients}) == 30
    for less, more in pairwise(windings):
        assert np.percentile(less, 95) < 0.9 * np.percentile(more, 5)  # can be told from the curves


def test_the_grade_shows_in_the_mask() -> None:
    """From the picture alone: how much the directions of nerves scatter."""

    def scatter(seed: int, grade: int) -> float:
        rng = np.random.default_rng(seed)
        mask = ccm.render(ccm.Patient.draw(rng).graded(grade), 96, 1.0, rng).mask > 0
        down, across = np.gradient(ndimage.gaussian_filter(mask.astype(float), 1.5))
        xx, yy, xy = (ndimage.gaussian_filter(p, 2.0) for p in (across**2, down**2, across * down))
        direction = 0.5 * np.arctan2(2 * xy, xx - yy)[skeletonize(mask)]
        return float(1 - abs(np.exp(2j * direction).mean()))

    means = [np.mean([scatter(seed, grade) for seed in range(12)]) for grade in range(4)]
    assert means == sorted(means) and means[3] > 2 * means[0]


def test_fibres_are_beaded() -> None:
    rng = np.random.default_rng(0)
    straight = Stroke(np.stack([np.linspace(-1, 1, 170), np.zeros(170)], 1), np.full(170, 0.02))
    light = ccm._beads(straight, rng)
    maxima = np.flatnonzero((light[1:-1] > light[:-2]) & (light[1:-1] >= light[2:]))
    assert 15 < len(maxima) < 60
    assert light.max() > 1.4 * light.min()


def test_colon_has_a_dark_lumen_and_polyps_mostly() -> None:
    with_polyp, dark = 0, 0
    for seed in range(20):
        scene = render(colonoscopy, seed, 64)
        area = (scene.mask > 0).mean()
        assert (area > 0) == (scene.metadata["polyps"] != 0)
        assert area < 0.4
        with_polyp += area > 0
        dark += ndimage.gaussian_filter(scene.image.mean(-1), 2).min() < 0.2
    assert with_polyp >= 15 and dark >= 18


def test_stamp_draws_the_stated_width() -> None:
    line = Stroke(np.stack([np.linspace(-5, 70, 400), np.full(400, 32.3)], 1), np.full(400, 3.0))
    drawn = stamp(64, [line])
    np.testing.assert_allclose(drawn[:, 10:50].sum(0), 6.0, atol=0.3)
    assert drawn.max() == 1.0 and stamp(8, []).max() == 0.0


def test_fields_are_normalised_and_smooth() -> None:
    for field in (
        smooth_field((60, 80), 4.0, np.random.default_rng(0)),
        fractal_field((60, 80), 4.0, 2, np.random.default_rng(0)),
    ):
        assert field.shape == (60, 80)
        assert field.std() == pytest.approx(1.0) and abs(field.mean()) < 1e-9
        assert np.abs(np.diff(field, axis=0)).max() < 0.6


@pytest.mark.parametrize("modality", CAMERAS)
def test_every_site_has_another_camera(modality: str) -> None:
    cameras = [camera_of_site(modality, index, np.random.default_rng(index)) for index in range(9)]
    assert len(set(cameras)) == 9
    assert len({camera.name for camera in cameras}) == 9


@pytest.mark.parametrize("camera", [camera for cameras in CAMERAS.values() for camera in cameras])
def test_photograph_is_black_and_unmarked_outside_of_the_field_of_view(camera) -> None:
    scene = Scene(np.full((96, 96, 3), 0.5), np.full((96, 96), 255, np.uint8), {})
    photograph = camera.photograph(scene, np.random.default_rng(0))
    outside = photograph.field_of_view == 0
    assert photograph.image[outside].sum() == 0 and photograph.mask[outside].sum() == 0
    assert (photograph.field_of_view == 1).mean() > 0.6
    assert outside.any() == (camera.border != "full")
