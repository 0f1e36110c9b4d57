"""Colour fundus photographs: retina, optic disc, macula and a branching vessel tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hqgnet.data.synthetic import vessels
from hqgnet.data.synthetic.scene import (
    SUPERSAMPLING,
    FloatArray,
    Scene,
    downsample,
    frame_grid,
    smooth_step,
    to_mask,
)
from hqgnet.data.synthetic.strokes import Stroke, stamp
from hqgnet.data.synthetic.texture import fractal_field, smooth_field

ARTERY_ABSORPTION = np.array([0.20, 0.62, 0.42])
VEIN_ABSORPTION = np.array([0.42, 0.88, 0.55])


@dataclass(frozen=True)
class Patient:
    """What both eyes of a patient share.

    Attributes:
        pigment: 0 for a light, tessellated fundus, 1 for a dark one.
        redness: Hue of the retina, 0 orange to 1 red.
        cup: Cup-to-disc ratio.
        disc_radius: In units of half a 45 degree field.
        tortuosity: Of the vessels, 0 to 1.
    """

    pigment: float
    redness: float
    cup: float
    disc_radius: float
    tortuosity: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Patient:
        """Draw a patient."""
        return cls(
            pigment=float(rng.beta(2.0, 2.0)),
            redness=float(rng.beta(2.0, 2.0)),
            cup=float(rng.uniform(0.3, 0.6)),
            disc_radius=float(rng.uniform(0.14, 0.175)),
            tortuosity=float(rng.uniform(0.2, 0.8)),
        )


def render(patient: Patient, size: int, zoom: float, rng: np.random.Generator) -> Scene:
    """Draw one eye.

    Args:
        patient: Whose eye.
        size: Height and width in pixels.
        zoom: 1 for a 45 degree field, larger for a narrower one.
        rng: Source of randomness of this image.

    Returns:
        Scene of (size, size, 3) and the vessel mask; metadata ``eye`` (left or right) and
        ``centred`` (macula or disc).
    """
    side = size * SUPERSAMPLING
    fovea = np.array([rng.uniform(0.62, 0.72), rng.uniform(-0.11, -0.04)])
    arteries, veins = vessels.grow(fovea, patient.tortuosity, rng)
    left = bool(rng.random() < 0.5)
    on_disc = bool(rng.random() < 0.2)
    centre = np.array([0.08 if on_disc else rng.uniform(0.38, 0.60), rng.uniform(-0.08, 0.06)])
    tilt = float(rng.uniform(-0.12, 0.12))
    # A right eye has its disc on the right of the picture, temporal to the left.
    mirror = -1.0 if left else 1.0

    x, y = frame_grid(size, zoom)
    # Frame to retina: undo mirror and tilt, then move to the disc.
    cos, sin = np.cos(tilt), np.sin(tilt)
    u = -mirror * (cos * x + sin * y) + centre[0]
    v = -sin * x + cos * y + centre[1]

    image = _retina(patient, u, v, fovea, rng)
    image = _disc(image, patient, u, v, rng)

    def to_frame(strokes: list[Stroke]) -> list[Stroke]:
        placed = []
        for stroke in strokes:
            a = -mirror * (stroke.points[:, 0] - centre[0])
            b = stroke.points[:, 1] - centre[1]
            pixels = np.stack([cos * a - sin * b, -(sin * a + cos * b)], axis=1) * zoom
            placed.append(Stroke((pixels + 1.0) * side / 2, stroke.radii * zoom * side / 2))
        return placed

    artery_strokes, vein_strokes = to_frame(arteries), to_frame(veins)
    artery, vein = downsample(stamp(side, artery_strokes)), downsample(stamp(side, vein_strokes))
    reflex = downsample(
        stamp(side, [Stroke(s.points, s.radii * 0.3) for s in artery_strokes if s.radii.max() > 1.3])
    )
    # The disc's tissue lies over its vessels' edges and scatters: they look paler there.
    depth = rng.uniform(0.75, 0.95) * (1.0 - 0.35 * np.exp(-((np.hypot(u, v) / patient.disc_radius) ** 4)))
    absorbed = (
        vein[..., None] * VEIN_ABSORPTION + ((1.0 - 0.7 * vein) * artery)[..., None] * ARTERY_ABSORPTION
    )
    image = image * np.exp(-depth[..., None] * absorbed) * (1.0 + 0.16 * reflex[..., None])

    return Scene(
        np.clip(image, 0.0, 1.0),
        to_mask(np.maximum(artery, vein), 0.42),
        {"eye": "left" if left else "right", "centred": "disc" if on_disc else "macula"},
    )


def _retina(
    patient: Patient, u: FloatArray, v: FloatArray, fovea: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Pigment, choroid, nerve fibre layer and macula, (H, W, 3)."""
    shape = (u.shape[0], u.shape[1])
    light = np.array([0.86, 0.47, 0.25])
    dark = np.array([0.66, 0.27, 0.11])
    base = light + (dark - light) * patient.pigment
    base = base * (1.0 + 0.12 * (patient.redness - 0.5) * np.array([0.6, -1.6, 0.4]))

    mottle = fractal_field(shape, 5.0, 4, rng)
    # Choroidal vessels show between pigment as broad winding bands: the ridges of a smooth field.
    bands = np.exp(-((smooth_field(shape, 9.0, rng) / 0.35) ** 2))
    to_fovea = np.hypot(u - fovea[0], v - fovea[1])
    periphery = smooth_step(to_fovea, 0.35, 1.1)
    choroid = (0.10 * (1.0 - patient.pigment) + 0.02) * periphery * (bands - 0.3)
    texture = 0.028 * mottle + choroid
    image: FloatArray = base * (1.0 + texture[..., None] * np.array([0.6, 1.0, 1.0]))

    to_disc = np.hypot(u, v)
    sheen = 0.14 * np.exp(-((to_disc / 0.42) ** 2)) + 0.05 * np.exp(-(((to_fovea - 0.42) / 0.22) ** 2))
    image *= 1.0 + sheen[..., None] * np.array([0.35, 1.0, 1.1])
    macula = 0.26 * np.exp(-((to_fovea / 0.24) ** 2)) + 0.24 * np.exp(-((to_fovea / 0.085) ** 2))
    image *= 1.0 - macula[..., None] * np.array([0.72, 1.0, 1.05])
    if rng.random() < 0.5:
        image += 0.10 * np.exp(-((to_fovea / 0.018) ** 2))[..., None]
    return image


def _disc(
    image: FloatArray, patient: Patient, u: FloatArray, v: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Optic disc with its cup, a pigment crescent on the temporal side, and no macular shading, (H, W, 3)."""
    turn = rng.uniform(-0.3, 0.3)
    a = np.cos(turn) * u + np.sin(turn) * v
    b = -np.sin(turn) * u + np.cos(turn) * v
    radius = np.hypot(a / 0.92, b / 1.06) / patient.disc_radius
    radius = radius * (1.0 + 0.03 * np.sin(3 * np.arctan2(b, a) + rng.uniform(0, 6.28)))

    crescent = np.exp(-(((np.hypot(a - 0.02, b) / patient.disc_radius - 1.12) / 0.13) ** 2)) * smooth_step(
        a, 0.0, 0.12
    )
    image = image * (1.0 - rng.uniform(0.0, 0.35) * crescent[..., None] * np.array([0.7, 1.0, 1.0]))

    rim = np.array([0.97, 0.70, 0.40]) * (1.0 - 0.08 * patient.pigment)
    pale = np.array([1.0, 0.92, 0.68])
    cup = smooth_step(np.hypot(a - 0.012, b) / patient.disc_radius, patient.cup + 0.18, patient.cup - 0.14)
    disc = rim + (pale - rim) * cup[..., None]
    disc = disc * (1.0 - 0.06 * smooth_step(a, 0.0, -0.1))[..., None]
    inside = smooth_step(radius, 1.12, 0.90)[..., None]
    return np.asarray(image * (1.0 - inside) + disc * inside)
