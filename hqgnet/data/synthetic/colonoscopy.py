"""Colonoscopy frames: mucosa with haustral folds, a dark lumen, fine vessels, highlights and polyps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hqgnet.data.synthetic.scene import (
    SUPERSAMPLING,
    FloatArray,
    Scene,
    downsample,
    frame_grid,
    smooth_step,
    to_mask,
)
from hqgnet.data.synthetic.strokes import Stroke, stamp, walk
from hqgnet.data.synthetic.texture import fractal_field, smooth_field

BLOOD_ABSORPTION = np.array([0.12, 0.42, 0.32])


@dataclass(frozen=True)
class Patient:
    """What the frames of one examination share.

    Attributes:
        hue: 0 pink to 1 orange-yellow mucosa.
        vascularity: How clearly the submucosal vessels show, 0 to 1.
        folds: Haustral folds in view.
        polyp_redness: 0 as pale as the mucosa to 1 clearly red.
    """

    hue: float
    vascularity: float
    folds: float
    polyp_redness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Patient:
        """Draw a patient."""
        return cls(
            hue=float(rng.beta(2.0, 2.0)),
            vascularity=float(rng.uniform(0.25, 1.0)),
            folds=float(rng.uniform(1.6, 3.0)),
            polyp_redness=float(rng.uniform(0.1, 1.0)),
        )


def render(patient: Patient, size: int, zoom: float, rng: np.random.Generator) -> Scene:
    """Draw one frame.

    Args:
        patient: Whose colon.
        size: Height and width in pixels.
        zoom: 1 for a wide view, larger for a narrower one.
        rng: Source of randomness of this image.

    Returns:
        Scene of (size, size, 3) and the polyp mask; metadata ``polyps`` (0, rarely, to 2) and ``shape``.
    """
    x, y = frame_grid(size, zoom)
    angle = rng.uniform(0, 2 * np.pi)
    away = rng.uniform(0.2, 0.95)
    lumen = np.array([away * np.cos(angle), away * np.sin(angle)])
    shade = _tube(patient, x, y, lumen, rng)
    colour = _mucosa(patient, (size, size), rng)
    colour = colour * np.exp(-patient.vascularity * _vessel_web(size, rng)[..., None] * BLOOD_ABSORPTION)
    image = colour * shade[..., None]
    wetness = smooth_step(shade, 0.55, 0.95)

    count = int(rng.choice([0, 1, 2], p=[0.05, 0.81, 0.14]))
    mask = np.zeros((size, size))
    shapes = []
    for index in range(count):
        turn = angle + np.pi + rng.uniform(-1.1, 1.1) + index * 2.0
        centre = lumen + rng.uniform(0.5, 0.85) * np.array([np.cos(turn), np.sin(turn)])
        centre = np.clip(centre, -0.6, 0.6)
        radius = rng.uniform(0.24, 0.46) * (1.0 if index == 0 else 0.6)
        stalked = bool(rng.random() < 0.2)
        image, coverage = _polyp(image, patient, x, y, centre, radius, stalked, rng)
        mask = np.maximum(mask, coverage)
        shapes.append("pedunculated" if stalked else "sessile")

    wetness = np.maximum(wetness * (1.0 - mask), 0.8 * mask)
    image = image + (1.0 - image) * _highlights((size, size), wetness, rng)[..., None]
    return Scene(
        np.clip(image, 0.0, 1.0),
        to_mask(mask, 0.5),
        {"polyps": count, "shape": "+".join(shapes) if shapes else "none"},
    )


def _tube(
    patient: Patient, x: FloatArray, y: FloatArray, lumen: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Light on the wall of the tube, (H, W): falls off towards the lumen, steps at every fold."""
    a, b = x - lumen[0], y - lumen[1]
    theta = np.arctan2(b, a)
    shape = (x.shape[0], x.shape[1])
    lobes = rng.uniform(0.03, 0.14) * np.cos(3 * theta + rng.uniform(0, 6.28)) + 0.06 * np.cos(
        2 * theta + rng.uniform(0, 6.28)
    )
    radius = np.hypot(a, b) * (1.0 + lobes + 0.07 * smooth_field(shape, 3.5, rng)) + 1e-3
    phase = (
        patient.folds * np.log((radius + 0.06) / 0.16)
        + 0.12 * smooth_field(shape, 5.0, rng)
        + 0.35 * np.cos(theta + rng.uniform(0, 6.28))
    )
    within = np.mod(phase, 1.0)
    # A fold's edge faces the lamp; behind it (towards the lumen) the wall lies in its shadow.
    edge = smooth_step(within, 0.0, 0.07) * np.exp(-2.2 * within)
    shadow = smooth_step(within, 0.55, 1.0)
    presence = np.clip(0.60 + 0.55 * smooth_field(shape, 3.0, rng), 0.05, 1.0) * smooth_step(
        radius, 0.10, 0.25
    )
    falloff = 0.06 + 0.94 * radius**1.3 / (radius**1.3 + 0.30)
    lit = falloff * (0.80 + presence * (0.42 * edge - 0.34 * shadow)) * smooth_step(radius, 0.03, 0.32) ** 0.7
    relief = 1.0 + 0.05 * fractal_field(shape, 6.0, 3, rng)
    return np.asarray(np.clip(1.22 * lit * relief + 0.02, 0.0, 1.25))


def _mucosa(patient: Patient, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    pink, orange = np.array([0.86, 0.50, 0.45]), np.array([0.90, 0.58, 0.33])
    base = pink + (orange - pink) * patient.hue
    blotch = 0.05 * fractal_field(shape, 4.0, 3, rng)
    return np.asarray(base * (1.0 + blotch[..., None] * np.array([0.5, 1.2, 1.2])))


def _vessel_web(size: int, rng: np.random.Generator) -> FloatArray:
    """Fine branching submucosal vessels, (size, size) coverage."""
    side = size * SUPERSAMPLING
    strokes = []
    for _ in range(int(rng.integers(8, 14))):
        start, heading = rng.uniform(0.0, side, 2), rng.uniform(0, 2 * np.pi)
        trunk = walk(start / side, heading, rng.uniform(0.25, 0.5), 0.006, rng, tortuosity=0.5) * side
        strokes.append(Stroke(trunk, np.linspace(0.0058, 0.003, len(trunk)) * side))
        for _ in range(int(rng.integers(2, 5))):
            index = int(rng.uniform(0.1, 0.8) * len(trunk))
            turn = strokes[-1].tangent(min(index, len(strokes[-1].points) - 1)) + rng.choice(
                [-1, 1]
            ) * rng.uniform(0.5, 1)
            twig = walk(trunk[index] / side, turn, rng.uniform(0.08, 0.22), 0.006, rng, tortuosity=0.6) * side
            strokes.append(Stroke(twig, np.full(len(twig), 0.0028) * side))
    return downsample(stamp(side, strokes))


def _polyp(
    image: FloatArray,
    patient: Patient,
    x: FloatArray,
    y: FloatArray,
    centre: FloatArray,
    radius: float,
    stalked: bool,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draw a polyp over the image; also returns its (H, W) coverage, stalk included."""
    size = x.shape[0]
    shape = (size, size)
    theta = rng.uniform(0, np.pi)
    a, b = x - centre[0], y - centre[1]
    u = (np.cos(theta) * a + np.sin(theta) * b) / rng.uniform(0.95, 1.2)
    v = (-np.sin(theta) * a + np.cos(theta) * b) / rng.uniform(0.75, 0.95)
    around = np.arctan2(v, u)
    border = sum(
        (
            rng.uniform(0.0, 0.22 / order) * np.cos(order * around + rng.uniform(0, 6.28))
            for order in (2, 3, 4, 5)
        ),
        np.ones(shape),
    )
    rho = np.hypot(u, v) / (radius * border)
    soft = 2.2 / size / radius
    inside = smooth_step(rho, 1.0 + soft, 1.0 - soft)

    lobes = 0.10 * fractal_field(shape, 5.0, 2, rng)
    height = np.sqrt(np.clip(1.0 - rho**2, 0.0, 1.0)) * radius * (1.0 + lobes)
    slope_y, slope_x = np.gradient(ndimage.gaussian_filter(height, 0.008 * size), 2.0 / size)
    lamp = np.array([-0.55 * centre[0], -0.55 * centre[1], 1.0])
    facing = (-slope_x * lamp[0] + slope_y * lamp[1] + lamp[2]) / np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    light = 0.34 + 0.62 * np.clip(facing / np.linalg.norm(lamp), 0.0, 1.0)

    redness = patient.polyp_redness
    pits = 0.05 * smooth_field(shape, 30.0, rng) + 0.05 * fractal_field(shape, 8.0, 2, rng)
    tissue = np.array([0.93, 0.60, 0.50]) * (1.0 - redness * np.array([0.06, 0.34, 0.30]))
    head = (tissue * (1.0 + pits[..., None] * np.array([0.6, 1.2, 1.2]))) * light[..., None]

    # The polyp's own shadow falls on the wall away from the lamp.
    away = centre / max(float(np.hypot(*centre)), 0.2) * 0.20 * radius
    cast = np.hypot(a - away[0], b - away[1]) / (1.05 * radius)
    image = image * (1.0 - 0.42 * smooth_step(cast, 1.25, 0.75) * (1.0 - inside))[..., None]
    coverage = inside
    if stalked:
        stalk, stalk_light = _stalk(size, centre, radius, rng)
        image = image * (1.0 - stalk[..., None]) + (tissue * stalk_light[..., None]) * stalk[..., None]
        coverage = np.maximum(inside, stalk)
    return image * (1.0 - inside[..., None]) + head * inside[..., None], coverage


def _stalk(
    size: int, centre: FloatArray, radius: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Coverage and light, (size, size) each, of a stalk from the head outwards to the wall."""
    side = size * SUPERSAMPLING
    heading = float(np.arctan2(centre[1], centre[0])) + rng.uniform(-0.7, 0.7)
    path = walk(centre, heading, radius * rng.uniform(1.7, 2.3), 0.01, rng, tortuosity=0.15)
    pixels = (path * [1, -1] + 1.0) * side / 2
    width = radius * side / 2 * np.linspace(0.42, 0.30, len(path))
    outer = downsample(stamp(side, [Stroke(pixels, width)]))
    core = downsample(stamp(side, [Stroke(pixels, width * 0.45)]))
    return outer, 0.42 + 0.38 * ndimage.gaussian_filter(core, 0.02 * size)


def _highlights(shape: tuple[int, int], wetness: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Small clustered reflections of the lamp on wet tissue, (H, W) in [0, 1]."""
    sparkle = smooth_field(shape, 48.0, rng) + 0.8 * smooth_field(shape, 4.0, rng)
    return np.asarray(smooth_step(sparkle, 2.55, 2.95) * wetness * 0.95)
