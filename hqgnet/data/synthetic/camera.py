"""A site's camera: its field of view, colour response, sharpness and sensor noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hqgnet.data.synthetic.scene import FloatArray, Scene, frame_grid, smooth_step

Border = Literal["circle", "cut-circle", "octagon", "rounded", "full"]


@dataclass(frozen=True)
class Photograph:
    """A clean photograph.

    Attributes:
        image: (H, W, C) in [0, 1], black outside the field of view.
        mask: (H, W) uint8, 0 or 255, 0 outside the field of view.
        field_of_view: (H, W) in [0, 1], 1 inside, anti-aliased at its edge.
    """

    image: FloatArray
    mask: NDArray[np.uint8]
    field_of_view: FloatArray


@dataclass(frozen=True)
class Camera:
    """How one site's device sees a scene.

    Attributes:
        name: For people.
        gain: Response to red, green and blue; its mean for grey images.
        gamma: Exponent on values in [0, 1]; below 1 brightens.
        contrast: Factor around the middle grey of 0.4.
        zoom: 1 for the whole scene, larger for a narrower field.
        border: Shape of the field of view.
        radius: Size of the field of view in units of half the frame.
        vignetting: Loss of light at the corners, 0 to 1.
        sharpness: Above 0 the device sharpens (unsharp mask weight), below 0 it is soft (standard deviation
            in hundredths of the frame).
        noise: Standard deviation of the sensor's noise.
        notch: Whether the orientation tab of some fundus cameras shows at the circle's edge.
    """

    name: str
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 1.0
    zoom: float = 1.0
    border: Border = "circle"
    radius: float = 0.97
    vignetting: float = 0.0
    sharpness: float = 0.0
    noise: float = 0.006
    notch: bool = False

    def photograph(self, scene: Scene, rng: np.random.Generator) -> Photograph:
        """Take a clean photograph of a scene that was rendered at this camera's zoom.

        Args:
            scene: (H, W, C) scene with H = W.
            rng: Source of the sensor's noise.

        Returns:
            Photograph of the scene's size.
        """
        size, channels = scene.image.shape[0], scene.image.shape[2]
        gain = np.asarray(self.gain) if channels == 3 else np.full(channels, np.mean(self.gain))
        x, y = frame_grid(size, 1.0)
        image = np.clip(scene.image * gain, 0.0, 1.0) ** self.gamma
        image = (image - 0.4) * self.contrast + 0.4
        image *= (1.0 - self.vignetting * (x**2 + y**2) / 2.0)[..., None]
        soft = (0.01 * size * (-self.sharpness if self.sharpness < 0 else 1.0),) * 2 + (0.0,)
        if self.sharpness < 0:
            image = ndimage.gaussian_filter(image, soft)
        elif self.sharpness > 0:
            image += self.sharpness * (image - ndimage.gaussian_filter(image, soft))
        image += self.noise * rng.standard_normal(image.shape)
        visible = self.field_of_view(size)
        return Photograph(
            np.clip(image, 0.0, 1.0) * visible[..., None],
            np.where(visible >= 0.5, scene.mask, 0).astype(np.uint8),
            visible,
        )

    def field_of_view(self, size: int) -> FloatArray:
        """What the camera sees of a square frame, (size, size) in [0, 1]."""
        x, y = frame_grid(size, 1.0)
        if self.border == "full":
            return np.ones((size, size))
        if self.border == "octagon":
            distance = np.maximum(np.maximum(abs(x), 1.08 * abs(y)), (abs(x) + abs(y)) / 1.42)
        elif self.border == "rounded":
            distance = (x**6 + y**6) ** (1.0 / 6.0)
        elif self.border == "cut-circle":
            distance = np.maximum(np.hypot(x, y), abs(y) * self.radius / 0.90)
        else:
            distance = np.hypot(x, y)
        edge = 1.0 / size
        visible = smooth_step(distance, self.radius + edge, self.radius - edge)
        if self.notch:
            tab = np.hypot(x - 0.72 * self.radius, y - 0.72 * self.radius)
            visible = np.maximum(visible, smooth_step(tab, 0.06 + edge, 0.06 - edge))
        return visible


CAMERAS: Mapping[str, tuple[Camera, ...]] = MappingProxyType(
    {
        "fundus": (
            Camera(
                "45 degree table-top",
                gain=(1.05, 0.98, 0.85),
                gamma=0.95,
                radius=0.97,
                sharpness=0.3,
                notch=True,
            ),
            Camera(
                "50 degree non-mydriatic, cool",
                gain=(0.88, 0.98, 1.50),
                gamma=0.88,
                contrast=0.92,
                zoom=0.92,
                border="cut-circle",
                radius=1.06,
                noise=0.010,
            ),
            Camera(
                "30 degree, saturated red",
                gain=(1.18, 0.80, 0.55),
                gamma=1.05,
                contrast=1.12,
                zoom=1.06,
                radius=0.94,
                vignetting=0.35,
                sharpness=0.6,
                noise=0.005,
            ),
            Camera(
                "hand-held, dim and brownish",
                gain=(0.80, 0.86, 0.95),
                gamma=1.12,
                contrast=0.95,
                border="cut-circle",
                radius=0.99,
                vignetting=0.5,
                sharpness=-0.4,
                noise=0.014,
            ),
        ),
        "ccm": (
            Camera("slit-beam free", border="full", contrast=1.05, noise=0.020, vignetting=0.15),
            Camera("brighter gain", border="full", gain=(1.35,) * 3, gamma=0.9, noise=0.028, sharpness=0.3),
            Camera(
                "narrow, dark",
                border="full",
                gain=(0.85,) * 3,
                gamma=1.15,
                zoom=1.2,
                contrast=1.1,
                noise=0.016,
            ),
            Camera(
                "soft, corners dark", border="full", gamma=0.9, vignetting=0.5, sharpness=-0.4, noise=0.022
            ),
        ),
        "colonoscopy": (
            Camera("octagon, warm", border="octagon", radius=0.97, gain=(1.05, 0.97, 0.88), sharpness=0.4),
            Camera(
                "rounded, pink",
                border="rounded",
                radius=0.93,
                gain=(1.0, 0.92, 1.12),
                gamma=0.92,
                noise=0.010,
            ),
            Camera(
                "round, dim yellow",
                border="circle",
                radius=1.0,
                gain=(0.92, 0.98, 0.72),
                gamma=1.15,
                noise=0.012,
            ),
            Camera(
                "octagon, pale",
                border="octagon",
                radius=0.92,
                gain=(0.98, 1.08, 1.22),
                contrast=0.88,
                zoom=1.1,
            ),
        ),
    }
)


def camera_of_site(modality: str, index: int, rng: np.random.Generator) -> Camera:
    """The camera of the site with this index: a named one first, beyond those a variation drawn from ``rng``.

    Args:
        modality: A key of ``CAMERAS``.
        index: 0 for the first site.
        rng: Used only beyond the named cameras.

    Returns:
        A camera; no two sites share one.
    """
    named = CAMERAS[modality]
    if index < len(named):
        return named[index]
    like = named[index % len(named)]
    red, green, blue = (
        float(gain * factor) for gain, factor in zip(like.gain, rng.uniform(0.85, 1.15, 3), strict=True)
    )
    return Camera(
        f"{like.name}, variant {index // len(named)}",
        gain=(red, green, blue),
        gamma=float(like.gamma * rng.uniform(0.9, 1.1)),
        contrast=float(like.contrast * rng.uniform(0.92, 1.05)),
        zoom=float(like.zoom * rng.uniform(0.95, 1.1)),
        border=like.border,
        radius=float(like.radius * rng.uniform(0.95, 1.0)),
        vignetting=float(rng.uniform(0.0, 0.5)),
        sharpness=float(rng.uniform(-0.4, 0.6)),
        noise=float(like.noise * rng.uniform(0.7, 1.5)),
        notch=bool(rng.random() < 0.5) and like.border == "circle" and modality == "fundus",
    )
