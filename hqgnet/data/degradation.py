"""Degradations of a site: which kinds, how severe; for synthetic sites and degraded copies of real images.

The kinds follow the paper's Fig. 1 (uneven light, blur, haze, noise, low contrast) and the defects that the
EyeQ graders name (arXiv:1907.05345); ``degradation_kinds`` holds their models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hqgnet.data.degradation_kinds import OPERATORS, FloatArray


@dataclass(frozen=True)
class Degradation:
    """The kinds of degradation that a site's LQ images show.

    Attributes:
        name: For people.
        kinds: Keys of ``OPERATORS``, each with the lowest and highest severity; 0 is none, 1 severe. A
            negative lowest severity means that the kind is absent from that share of the images.
    """

    name: str
    kinds: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        """Refuse unknown kinds."""
        unknown = sorted(set(self.kinds) - set(OPERATORS))
        if unknown:
            raise ValueError(f"unknown kinds of degradation {unknown}; known are {sorted(OPERATORS)}")

    def scaled(self, factor: float) -> Degradation:
        """The same kinds with their severities times ``factor``: below 1 milder, above 1 more severe."""
        kinds = {kind: (low * factor, high * factor) for kind, (low, high) in self.kinds.items()}
        return Degradation(f"{self.name} x {factor:g}", kinds)

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Draw one image's severities, in the order of ``OPERATORS``; absent kinds are left out."""
        severities = {}
        for kind in OPERATORS:
            if kind in self.kinds:
                severity = float(rng.uniform(*self.kinds[kind]))
                if severity > 0.0:
                    severities[kind] = severity
        return severities

    def apply(
        self, image: FloatArray, rng: np.random.Generator, field_of_view: NDArray[np.generic] | None = None
    ) -> FloatArray:
        """Degrade a copy of one image.

        Args:
            image: (H, W, C) in [0, 1].
            rng: Source of the severities and of everything drawn by the kinds.
            field_of_view: (H, W), boolean or in [0, 1]; what lies outside stays black. None: the whole frame.

        Returns:
            (H, W, C) in [0, 1].
        """
        visible = None if field_of_view is None else np.asarray(field_of_view, dtype=np.float64)[..., None]
        degraded = np.asarray(image, dtype=np.float64)
        if visible is not None:
            degraded = _extend(degraded, visible)
        for kind, severity in self.draw(rng).items():
            degraded = OPERATORS[kind](degraded, severity, rng)
        degraded = np.clip(degraded, 0.0, 1.0)
        return degraded if visible is None else degraded * visible


def _extend(image: FloatArray, visible: FloatArray) -> FloatArray:
    """Continue the tissue beyond the field of view, which is cut by a stop behind the eye's own optics."""
    sigma = 0.04 * max(image.shape[:2])
    weight = (visible >= 0.99).astype(np.float64)
    spread = ndimage.gaussian_filter(image * weight, (sigma, sigma, 0.0))
    share = ndimage.gaussian_filter(weight, (sigma, sigma, 0.0))
    inside = image.reshape(-1, image.shape[-1])[weight.ravel() > 0]
    level = inside.mean(axis=0) if len(inside) else np.zeros(image.shape[-1])
    return np.asarray(image * weight + (1.0 - weight) * (spread + 1e-3 * level) / (share + 1e-3))


PROFILES: Mapping[str, Degradation] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Degradation(
                "cataract",
                {
                    "cataract": (0.7, 1.1),
                    "blur": (0.4, 0.9),
                    "uneven_light": (0.3, 0.7),
                    "under_exposure": (0.05, 0.3),
                    "noise": (0.05, 0.25),
                },
            ),
            Degradation(
                "small-pupil",
                {
                    "uneven_light": (0.4, 0.9),
                    "vignetting": (0.1, 0.4),
                    "crescent": (0.3, 0.9),
                    "cool_cast": (0.2, 0.6),
                    "low_contrast": (0.1, 0.4),
                    "blur": (0.2, 0.6),
                    "noise": (0.1, 0.4),
                },
            ),
            Degradation(
                "under-exposed",
                {
                    "under_exposure": (0.3, 0.65),
                    "shadow": (-0.4, 0.6),
                    "uneven_light": (0.2, 0.5),
                    "defocus": (0.3, 0.8),
                    "noise": (0.2, 0.6),
                },
            ),
            Degradation(
                "stray-light",
                {
                    "over_exposure": (0.1, 0.4),
                    "haze": (0.25, 0.55),
                    "artefacts": (0.3, 1.0),
                    "blur": (0.3, 0.8),
                    "low_contrast": (0.0, 0.3),
                    "noise": (0.05, 0.2),
                },
            ),
            Degradation(
                "applanation",
                {
                    "uneven_light": (0.5, 1.0),
                    "haze": (0.2, 0.45),
                    "low_contrast": (0.2, 0.5),
                    "noise": (0.4, 0.8),
                },
            ),
            Degradation(
                "off-plane",
                {"haze": (0.25, 0.5), "blur": (0.3, 0.8), "low_contrast": (0.2, 0.5), "noise": (0.2, 0.6)},
            ),
            Degradation(
                "low-laser",
                {
                    "under_exposure": (0.15, 0.45),
                    "vignetting": (0.2, 0.6),
                    "motion": (0.1, 0.4),
                    "noise": (0.5, 0.9),
                },
            ),
            Degradation(
                "scope-motion",
                {
                    "motion": (0.4, 1.0),
                    "low_contrast": (0.3, 0.6),
                    "haze": (0.3, 0.65),
                    "noise": (0.1, 0.4),
                },
            ),
            Degradation(
                "far-from-lamp",
                {
                    "under_exposure": (0.25, 0.6),
                    "uneven_light": (0.2, 0.6),
                    "defocus": (0.2, 0.7),
                    "noise": (0.3, 0.7),
                },
            ),
            Degradation(
                "turbid-fluid",
                {
                    "cataract": (0.8, 1.15),
                    "defocus": (0.3, 0.8),
                    "warm_cast": (0.3, 0.7),
                    "under_exposure": (0.2, 0.5),
                    "artefacts": (-0.5, 0.6),
                },
            ),
        )
    }
)

PROFILES_OF_MODALITY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fundus": ("cataract", "small-pupil", "under-exposed", "stray-light"),
        "ccm": ("applanation", "off-plane", "low-laser"),
        "colonoscopy": ("scope-motion", "far-from-lamp", "turbid-fluid"),
    }
)
