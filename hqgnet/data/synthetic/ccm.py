"""Corneal confocal microscopy of the sub-basal nerve plexus: beaded fibres over dark cellular tissue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from hqgnet.data.grades import LEVELS
from hqgnet.data.synthetic.scene import SUPERSAMPLING, FloatArray, Scene, downsample, frame_grid, to_mask
from hqgnet.data.synthetic.strokes import Stroke, stamp, walk
from hqgnet.data.synthetic.texture import fractal_field, smooth_field

STEP = 0.012
SMALLEST_RADIUS = 0.0085


@dataclass(frozen=True)
class Patient:
    """What the frames of one cornea share.

    Attributes:
        direction: Of the nerves, in radians.
        fibres: Main fibres that would cross the whole frame.
        tortuosity: 0 (straight) to 1 (winding, as in neuropathy).
        dendritic_cells: Mean number of dendritic cells a frame.
        level: Grey level of the background.
    """

    direction: float
    fibres: float
    tortuosity: float
    dendritic_cells: float
    level: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Patient:
        """Draw a patient."""
        return cls(
            direction=float(rng.uniform(0.25, np.pi - 0.25)),
            fibres=float(rng.uniform(4.5, 7.5)),
            tortuosity=float(rng.beta(1.6, 2.2)),
            dendritic_cells=float(rng.choice([0.0, 0.0, 0.0, 1.0, 2.5])),
            level=float(rng.uniform(0.19, 0.29)),
        )

    def graded(self, grade: int) -> Patient:
        """Return this patient with nerves of a grade of tortuosity, 0 (straight) to ``LEVELS`` - 1.

        Patients of a grade differ too, but less than those of neighbouring grades.
        """
        spread = 0.25
        return replace(self, tortuosity=(grade + spread * self.tortuosity) / (LEVELS - 1 + spread))


def render(patient: Patient, size: int, zoom: float, rng: np.random.Generator) -> Scene:
    """Draw one frame.

    Args:
        patient: Whose cornea.
        size: Height and width in pixels.
        zoom: 1 for a frame of about 400 micrometres, larger for a narrower one.
        rng: Source of randomness of this image.

    Returns:
        Scene of (size, size, 1) and the fibre mask; metadata ``fibres``, ``dendritic_cells``, ``tortuosity``.
    """
    side = size * SUPERSAMPLING
    direction = patient.direction + float(rng.normal(0.0, 0.08))
    mains = _mains(patient, direction, rng)
    fibres = mains + _branches(mains, patient, rng)
    lights = [_beads(stroke, rng) for stroke in fibres]
    cells = _dendritic_cells(int(rng.poisson(patient.dendritic_cells)), rng)

    def to_frame(strokes: list[Stroke]) -> list[Stroke]:
        half = side / 2
        return [Stroke((s.points * zoom * [1, -1] + 1.0) * half, s.radii * zoom * half) for s in strokes]

    # Beads swell the fibre as well as brighten it.
    swollen = [
        Stroke(s.points, s.radii * (0.68 + 0.52 * light)) for s, light in zip(fibres, lights, strict=True)
    ]
    glow = downsample(stamp(side, to_frame(swollen), lights))
    cell_glow = downsample(stamp(side, to_frame(cells)))
    image = _background(patient.level, size, zoom, rng)
    image = image + (0.92 - image) * np.clip(glow, 0.0, 1.0)
    image = image + (1.0 - image) * 0.85 * cell_glow
    # Light scattered from above and below the focal plane.
    image += 0.35 * ndimage.gaussian_filter(glow, 0.02 * size)
    return Scene(
        np.clip(image, 0.0, 1.0)[..., None],
        to_mask(downsample(stamp(side, to_frame(fibres)))),
        {"fibres": len(fibres), "dendritic_cells": len(cells), "tortuosity": patient.tortuosity},
    )


def _mains(patient: Patient, direction: float, rng: np.random.Generator) -> list[Stroke]:
    across = np.array([-np.sin(direction), np.cos(direction)])
    count = int(np.clip(rng.poisson(patient.fibres), 4, 9))
    offsets = (np.arange(count) + 0.5) / count * 2.4 - 1.2 + rng.normal(0.0, 0.35 / count, count)
    bend = rng.normal(0.0, 0.25)
    mains = []
    for offset in offsets:
        path = walk(
            np.zeros(2),
            direction + rng.normal(-bend / 2, 0.09),
            3.6,
            STEP,
            rng,
            bend=bend + rng.normal(0.0, 0.12),
            tortuosity=0.10 + 0.50 * patient.tortuosity * rng.uniform(0.6, 1.2),
        )
        path += offset * across - path[len(path) // 2]
        radius = rng.choice([0.0115, 0.014, 0.018, 0.023], p=[0.25, 0.35, 0.25, 0.15])
        mains.append(Stroke(path, np.full(len(path), radius)))
    return mains


def _branches(mains: list[Stroke], patient: Patient, rng: np.random.Generator) -> list[Stroke]:
    """Y-shaped daughters that run on beside their parent, and thin fibres that connect neighbours."""
    branches = []
    for stroke in mains:
        for _ in range(int(rng.poisson(1.2))):
            index = int(rng.uniform(0.15, 0.75) * len(stroke.points))
            side = rng.choice([-1.0, 1.0])
            connecting = rng.random() < 0.5
            angle = rng.uniform(0.7, 1.2) if connecting else rng.uniform(0.3, 0.6)
            path = walk(
                stroke.points[index],
                stroke.tangent(index) + side * angle,
                rng.uniform(0.3, 0.8) if connecting else rng.uniform(0.7, 1.6),
                STEP,
                rng,
                bend=-side * angle * rng.uniform(0.3, 1.0),
                tortuosity=0.15 + 0.55 * patient.tortuosity,
            )
            radius = SMALLEST_RADIUS if connecting else max(0.7 * stroke.radii[0], SMALLEST_RADIUS)
            branches.append(Stroke(path, np.full(len(path), radius)))
    return branches


def _beads(stroke: Stroke, rng: np.random.Generator) -> FloatArray:
    """Brightness along a fibre, (N,) in [0, 1]: beads on a core that fades where it leaves the focus."""
    count = len(stroke.points)
    light = np.zeros(count)
    position = np.arange(count) * STEP
    bead = rng.uniform(0.0, 0.06)
    while bead < position[-1]:
        light = np.maximum(light, rng.uniform(0.3, 1.0) * np.exp(-(((position - bead) / 0.016) ** 2)))
        bead += rng.uniform(0.045, 0.10)
    fading = 0.8 + 0.2 * np.sin(2 * np.pi * position / rng.uniform(0.8, 2.0) + rng.uniform(0, 6.28))
    thickness = 0.72 + 0.28 * min(float(stroke.radii[0]) / 0.02, 1.0)
    return np.asarray(np.clip((0.46 + 0.54 * light) * fading * thickness, 0.0, 1.0))


def _dendritic_cells(count: int, rng: np.random.Generator) -> list[Stroke]:
    """Bright bodies with two to four short processes each."""
    strokes = []
    for _ in range(count):
        centre = rng.uniform(-0.85, 0.85, 2)
        first = rng.uniform(0, 2 * np.pi)
        for arm in range(int(rng.integers(2, 5))):
            heading = first + np.pi * arm * rng.uniform(0.75, 1.1)
            path = walk(centre, heading, rng.uniform(0.05, 0.13), STEP, rng, tortuosity=0.4)
            strokes.append(Stroke(path, np.linspace(0.026, 0.008, len(path))))
    return strokes


def _background(level: float, size: int, zoom: float, rng: np.random.Generator) -> FloatArray:
    """Basal cells, slow drift of depth, faint K-structures and darker corners, (size, size)."""
    shape = (size, size)
    x, y = frame_grid(size, 1.0)
    drift = 0.14 * smooth_field(shape, 2.0, rng)
    bands = np.zeros(shape)
    if rng.random() < 0.4:
        bands = 0.22 * np.exp(-((smooth_field(shape, 1.6, rng) / 0.22) ** 2))
    # Cell borders reflect: a band-passed noise at about 10 micrometres, sharper towards bright.
    grain = ndimage.gaussian_filter(rng.standard_normal(shape), 0.0055 * size * zoom)
    cells = grain / grain.std() + 0.5 * fractal_field(shape, 26.0 / zoom, 1, rng)
    corners = 1.0 - 0.16 * (x**2 + y**2)
    return np.asarray(level * (1.0 + drift + bands + 0.13 * cells + 0.02 * cells**2) * corners)
