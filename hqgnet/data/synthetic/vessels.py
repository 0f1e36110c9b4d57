"""The retinal vessel tree: four arcades of arteries and veins that branch without crossing their own kind."""

from __future__ import annotations

import numpy as np

from hqgnet.data.synthetic.scene import FloatArray
from hqgnet.data.synthetic.strokes import Stroke, through, walk

STEP = 0.008
SMALLEST_RADIUS = 0.0085
REACH = 2.4
CELL = 0.035

# Way-points with the disc at the origin, temporal to the right, unit = half a 45 degree field.
TEMPORAL = np.array(
    [[0.0, 0.0], [0.05, 0.18], [0.22, 0.42], [0.52, 0.58], [0.86, 0.58], [1.18, 0.45], [1.5, 0.38]]
)
NASAL = np.array([[0.0, 0.0], [-0.07, 0.16], [-0.26, 0.38], [-0.55, 0.56], [-0.95, 0.74]])
MACULAR = np.array([[0.0, 0.0], [0.13, 0.06], [0.32, 0.15], [0.50, 0.15]])


class _Occupancy:
    """A coarse map of where one kind of vessel already runs."""

    def __init__(self) -> None:
        self._side = int(2 * REACH / CELL)
        self._owner = np.full((self._side, self._side), -1)

    def _cells(self, points: FloatArray) -> tuple[np.ndarray, np.ndarray]:
        index = np.clip(((points + REACH) / CELL).astype(int), 0, self._side - 1)
        return index[:, 0], index[:, 1]

    def free_length(self, points: FloatArray, parent: int) -> int:
        """How many points can be drawn before another vessel is met; the parent counts after a short way."""
        owner = self._owner[self._cells(points)]
        clear_of_parent = np.arange(len(points)) * STEP > 3 * CELL
        hits = np.flatnonzero((owner >= 0) & ((owner != parent) | clear_of_parent))
        return int(hits[0]) if len(hits) else len(points)

    def add(self, points: FloatArray, identity: int) -> None:
        self._owner[self._cells(points)] = identity


class _Tree:
    """Grows one kind of vessel (arteries or veins) branch by branch."""

    def __init__(self, fovea: FloatArray, tortuosity: float, rng: np.random.Generator) -> None:
        self.strokes: list[Stroke] = []
        self._fovea = fovea
        self._tortuosity = tortuosity
        self._rng = rng
        self._occupancy = _Occupancy()

    def add_main(self, waypoints: FloatArray, radius: float) -> None:
        rng = self._rng
        points = through(waypoints + rng.normal(0.0, 0.025, waypoints.shape) * (waypoints != 0), STEP)
        along = np.arange(len(points)) * STEP
        normal = np.gradient(points, axis=0)[:, ::-1] / STEP * [-1, 1]
        phase = rng.uniform(0, 2 * np.pi, 2)
        wavelength = rng.uniform([0.35, 0.16], [0.6, 0.28])
        winding = np.sin(2 * np.pi * along[:, None] / wavelength + phase) @ np.array([0.018, 0.009])
        points += normal * (winding * np.minimum(along / 0.25, 1) * self._tortuosity)[:, None]
        # Narrow on the disc, where a vessel climbs out of the cup, full at its edge, tapering from there.
        taper = np.minimum(0.6 + along / 0.35, 1.0) * (1.0 - 0.45 * along / along[-1])
        self._keep(points, radius * taper, len(self.strokes))

    def _keep(self, points: FloatArray, radii: FloatArray, parent: int) -> None:
        identity = len(self.strokes)
        self.strokes.append(Stroke(points, radii))
        self._occupancy.add(points, identity)

    def branch(self, levels: int) -> None:
        """Let every stroke bear daughters on alternating sides, level after level."""
        first = 0
        for level in range(levels):
            last = len(self.strokes)
            for parent in range(first, last):
                self._bear(parent, level)
            first = last

    def _bear(self, parent: int, level: int) -> None:
        rng = self._rng
        stroke = self.strokes[parent]
        side = rng.choice([-1.0, 1.0])
        spacing, lengths = ((0.18, 0.36), (0.45, 0.95)) if level == 0 else ((0.15, 0.30), (0.15, 0.42))
        at = rng.uniform(0.20, 0.34) if level == 0 else rng.uniform(0.10, 0.22)
        while at < len(stroke.points) * STEP:
            index = int(at / STEP)
            radius = float(stroke.radii[index]) * rng.uniform(0.55, 0.85)
            at += rng.uniform(*spacing)
            side = -side
            if radius < SMALLEST_RADIUS * 0.8:
                continue
            path = walk(
                stroke.points[index],
                stroke.tangent(index) + side * rng.uniform(0.45, 0.95),
                rng.uniform(*lengths),
                STEP,
                rng,
                bend=side * rng.uniform(-0.7, 0.45),
                tortuosity=0.10 + 0.20 * self._tortuosity,
            )
            near_fovea = np.flatnonzero(np.hypot(*(path - self._fovea).T) < 0.14)
            end = min(
                int(near_fovea[0]) if len(near_fovea) else len(path),
                self._occupancy.free_length(path, parent),
            )
            if end * STEP < 0.10:
                continue
            radii = np.maximum(radius * np.linspace(1.0, 0.5, end), SMALLEST_RADIUS * 0.75)
            self._keep(path[:end], radii, parent)


def grow(fovea: FloatArray, tortuosity: float, rng: np.random.Generator) -> tuple[list[Stroke], list[Stroke]]:
    """Grow the vessels of one eye.

    Args:
        fovea: (2,) the fovea, which stays free of vessels; the disc is at the origin, temporal to the right.
        tortuosity: 0 for straight vessels, 1 for clearly winding ones.
        rng: Source of randomness.

    Returns:
        Arteries and veins, in units of half a 45 degree field.
    """
    trees = []
    for vein in (False, True):
        tree = _Tree(fovea, tortuosity, rng)
        largest = 0.0203 if vein else 0.0148
        apart = np.array([0.022, -0.022]) if vein else np.array([-0.022, 0.022])
        for vertical in (1.0, -1.0):
            for template, share in ((TEMPORAL, 1.0), (NASAL, 0.75), (MACULAR, 0.55)):
                if template is MACULAR and rng.random() < 0.5:
                    continue
                away = np.minimum(np.hypot(*template.T) / 0.2, 1.0)[:, None]
                waypoints = template * [1.0, rng.uniform(0.85, 1.15)] + away * apart
                tree.add_main(waypoints * [1.0, vertical], largest * share * rng.uniform(0.9, 1.1))
        tree.branch(levels=3)
        trees.append(tree.strokes)
    return trees[0], trees[1]
