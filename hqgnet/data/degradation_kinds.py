"""The kinds of degradation, one small function each: (image, severity, rng) -> image.

Images are (H, W, C) in [0, 1], C 1 or 3; a severity of 0 is none, 1 severe; lengths scale with the longer
side. Haze is the veil model ``x t + A (1 - t)`` with a smooth ``t``; noise is Poisson (photons) and Gaussian
(read-out).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hqgnet.data.synthetic.texture import smooth_field

FloatArray = NDArray[np.float64]
Operator = Callable[[FloatArray, float, np.random.Generator], FloatArray]


def _across(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """A ramp in a random direction, (H, W, 1), about -1 to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    rows = np.linspace(-1.0, 1.0, shape[0])[:, None]
    columns = np.linspace(-1.0, 1.0, shape[1])[None, :]
    ramp: FloatArray = (np.sin(angle) * rows + np.cos(angle) * columns)[..., None]
    return ramp


def _radius_squared(shape: tuple[int, ...], centre: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    rows = np.linspace(-1.0, 1.0, shape[0])[:, None] - centre[0]
    columns = np.linspace(-1.0, 1.0, shape[1])[None, :] - centre[1]
    squared: FloatArray = (rows**2 + columns**2)[..., None]
    return squared


def _colour(image: FloatArray, red: float, green: float, blue: float) -> FloatArray:
    """A colour for (H, W, 3), its mean for other channel counts."""
    colour = np.array([red, green, blue])
    return colour if image.shape[-1] == 3 else np.full(image.shape[-1], colour.mean())


def _drift(image: FloatArray, cells: float, rng: np.random.Generator) -> FloatArray:
    return smooth_field((image.shape[0], image.shape[1]), cells, rng)[..., None]


def _uneven_light(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    ramp = 0.75 * _across(image.shape, rng) + 0.25 * _drift(image, 2.0, rng)
    return image * np.exp(severity * (0.75 * np.clip(ramp, -1.6, 1.0) - 0.35))


def _vignetting(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    row, column = rng.uniform(-0.25, 0.25, 2)
    return image / (1.0 + 2.2 * severity * _radius_squared(image.shape, (row, column)))


def _shadow(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    row, column = rng.uniform(-0.5, 0.5, 2)
    blob = np.exp(-_radius_squared(image.shape, (row, column)) / rng.uniform(0.10, 0.30))
    return image * (1.0 - 0.85 * severity * blob)


def _crescent(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    """Bluish light scattered from the iris along one edge of the field, as with a small pupil."""
    angle = rng.uniform(0, 2 * np.pi)
    centre = (0.35 * np.sin(angle), 0.35 * np.cos(angle))
    band = np.clip((np.sqrt(_radius_squared(image.shape, centre)) - 0.75) / 0.55, 0.0, 1.0) ** 1.5
    t = 1.0 - 0.85 * severity * band
    return image * t + _colour(image, 0.62, 0.82, 0.86) * (1.0 - t)


def _veil(image: FloatArray, severity: float, rng: np.random.Generator, airlight: FloatArray) -> FloatArray:
    t = 1.0 - 0.62 * severity * np.clip(1.0 + 0.22 * _drift(image, 2.0, rng), 0.3, 1.5)
    return image * t + airlight * (1.0 - t)


def _haze(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    return _veil(image, severity, rng, _colour(image, 0.70, 0.76, 0.74))


def _cataract(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    """A clouded lens scatters, and swallows blue."""
    return _veil(image, severity, rng, _colour(image, 0.62, 0.56, 0.30))


def _blur(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    sigma = 0.013 * severity * max(image.shape[:2])
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0.0)))


def _defocus(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    """The lens's pupil as a disc of confusion with a soft edge."""
    radius = max(0.022 * severity * max(image.shape[:2]), 0.5)
    half = int(np.ceil(radius))
    offset = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    kernel = np.clip(radius + 0.5 - offset, 0.0, 1.0)
    return np.asarray(ndimage.convolve(image, (kernel / kernel.sum())[..., None], mode="nearest"))


def _motion(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    angle, length = rng.uniform(0, np.pi), 0.05 * severity * max(image.shape[:2])
    half = int(np.ceil(length / 2))
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    steps = np.linspace(-0.5, 0.5, 2 * half + 1) * length
    rows, columns = np.rint(steps * np.sin(angle)).astype(int), np.rint(steps * np.cos(angle)).astype(int)
    shifted = [
        padded[half + r : half + r + height, half + c : half + c + width]
        for r, c in zip(rows, columns, strict=True)
    ]
    return np.asarray(np.mean(shifted, axis=0))


def _artefacts(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    """Dust on the lens: a few soft discs, and the halo of a stray reflection."""
    for _ in range(int(rng.integers(2, 6))):
        row, column = rng.uniform(-0.8, 0.8, 2)
        size = rng.uniform(0.03, 0.09)
        distance = np.sqrt(_radius_squared(image.shape, (row, column)))
        disc = np.clip((size - distance) / 0.03 + 0.5, 0.0, 1.0)
        image = image + severity * rng.uniform(0.10, 0.30) * disc * _colour(image, 0.9, 1.0, 0.9) * (
            1.0 - image
        )
    row, column = rng.uniform(-0.4, 0.4, 2)
    ring = np.sqrt(_radius_squared(image.shape, (row, column))) - rng.uniform(0.15, 0.35)
    return image + 0.25 * severity * np.exp(-((ring / 0.07) ** 2)) * (1.0 - image)


def _low_contrast(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    level: FloatArray = image.mean(axis=(0, 1))
    return level + (image - level) * (1.0 - 0.7 * severity)


def _under_exposure(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray((1.0 - 0.60 * severity) * np.clip(image, 0.0, 1.0) ** (1.0 + 0.35 * severity))


def _over_exposure(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(1.0 - (1.0 - np.clip(image, 0.0, 1.0)) ** (1.0 + 1.4 * severity))


def _cool_cast(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    return image * (1.0 + severity * _colour(image, -0.30, 0.05, 0.45))


def _warm_cast(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    return image * (1.0 + severity * _colour(image, 0.12, -0.10, -0.45))


def _noise(image: FloatArray, severity: float, rng: np.random.Generator) -> FloatArray:
    photons = 250.0 / max(severity, 0.05)
    counted = rng.poisson(np.clip(image, 0.0, 1.0) * photons) / photons
    return np.asarray(counted + 0.035 * severity * rng.standard_normal(image.shape))


# In the order in which light meets them: illumination, media of the eye, lens, sensor.
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "uneven_light": _uneven_light,
        "vignetting": _vignetting,
        "shadow": _shadow,
        "haze": _haze,
        "cataract": _cataract,
        "crescent": _crescent,
        "blur": _blur,
        "defocus": _defocus,
        "motion": _motion,
        "artefacts": _artefacts,
        "cool_cast": _cool_cast,
        "warm_cast": _warm_cast,
        "under_exposure": _under_exposure,
        "over_exposure": _over_exposure,
        "low_contrast": _low_contrast,
        "noise": _noise,
    }
)
