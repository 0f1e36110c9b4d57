"""IDRLP: dehazing by the region line prior, without training.

The third classical method that HQG-Net compares itself with (Section IV, [11]): "IDRLP: Image Dehazing Using
Region Line Prior", IEEE Transactions on Image Processing, 2021. Built from its abstract, the paper itself was
not at hand; figures differ from Tables III and VII.

Taken from there: the atmospheric scattering model I = J t + A (1 - t); the prior that, between regions of
similar depth, the mean brightness of the haze-free image is a line k times that of the hazy one; hence a
recovery formula with only two unknowns, k and A, found together from the whole image; a guided filter against
the seams of the regions. Ours: the regions (one-dimensional k-means of the smoothed brightness), what k and A
are chosen by (:func:`_cost`, where the paper has two constraints), and the rule for dark images. A dark image
is dehazed as its negative, where darkness looks like haze, the usual way to use a dehazing method on low
light.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqgnet.classical.illumination import (
    DARKEST,
    brightness,
    guided_filter,
    illumination,
    lit_share,
    mean_where_lit,
    on_batches,
    window_radius,
)

_REGIONS = 12
_ROUNDS = 10
_SMOOTHING = 0.03
_SEAMS = 0.08
"""Windows of the brightness and of the seams, as shares of the shorter side."""

_DIM = 0.5
"""An image whose mean light lies below is dehazed as its negative."""

_SLOPES = 19
_LIGHTS = 7
_SEARCH_SIDE = 96
"""The search grid, and about how many pixels along the longer side it is searched on."""

_FIDELITY = 30.0
_HAZE = 0.3
"""Weights of the region fidelity and of the haze that is left, against the exposure."""

_DARKEST_SHARE = 0.05
"""Share of a region's pixels that counts as its darkest."""

_EXPOSURE = 0.45
"""Mean of a picture that is neither too dark nor too bright."""

_THINNEST = 0.15
"""Bound of the transmission: behind thicker haze there is nothing but noise."""


@on_batches
def enhance(image: Tensor) -> Tensor:
    """Take haze off a bright image, or darkness off a dim one.

    Args:
        image: ``(C, H, W)`` or ``(B, C, H, W)`` in [0, 1], one or three channels.

    Returns:
        The same shape, in [0, 1]. An image of one value, black among them, comes back unchanged.

    Raises:
        ValueError: Another shape, or integers.
    """
    return torch.cat([_enhance_one(single) for single in image.split(1)])


def _enhance_one(image: Tensor) -> Tensor:
    """The same for one image (1, C, H, W)."""
    if bool((image.amax(dim=(2, 3)) - image.amin(dim=(2, 3)) < DARKEST).all()):
        return image
    light = illumination(brightness(image), window_radius(image, _SMOOTHING))
    lit = lit_share(light)
    dim = bool(mean_where_lit(brightness(image), lit) < _DIM)
    enhanced = 1 - _dehaze(1 - image, lit) if dim else _dehaze(image, lit)
    return image + lit * (enhanced - image)


def _dehaze(hazy: Tensor, lit: Tensor) -> Tensor:
    """Recover J from I (1, C, H, W), where ``lit``: the rest takes no part in the estimates."""
    full = _smooth_brightness(hazy)
    # Every few pixels one, not a smoothed copy: the search has to see the noise that it would amplify.
    every = -(-max(hazy.shape[-2:]) // _SEARCH_SIDE)
    pixels, bright, inside = (source[0, :, ::every, ::every] for source in (hazy, full, lit > 0.5))
    if not inside.any():
        return hazy  # a few bright pixels in the dark, between those that are looked at
    pixels, bright = pixels[:, inside[0]], bright[inside]
    centres = _cluster(bright)
    slope, airlight = _search(pixels, _nearest(bright, centres), centres)
    means = guided_filter(full, centres[_nearest(full, centres)], window_radius(hazy, _SEAMS))
    return _recover(hazy, means, slope, airlight).clamp(0, 1)


def _recover(hazy: Tensor, means: Tensor, slope: Tensor, airlight: Tensor) -> Tensor:
    """The recovery formula: with J's mean = k I's mean in a region, t = (A - mean) / (A - k mean)."""
    clearest = (airlight - slope * means).clamp_min(DARKEST)
    transmission = ((airlight - means) / clearest).clamp(_THINNEST, 1)
    return (hazy - airlight) / transmission + airlight


def _smooth_brightness(images: Tensor) -> Tensor:
    bright = brightness(images)
    return guided_filter(bright, bright, window_radius(images, _SMOOTHING))


def _nearest(bright: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest of the ascending centres, for each pixel."""
    return torch.bucketize(bright.contiguous(), (centres[1:] + centres[:-1]) / 2)


def _cluster(bright: Tensor) -> Tensor:
    """Mean brightness of each region, ascending: k-means from quantiles, so that no chance takes part."""
    ordered = bright.sort().values
    places = (torch.arange(_REGIONS, device=ordered.device) + 0.5) / _REGIONS * len(ordered)
    centres = ordered[places.long()]
    for _ in range(_ROUNDS):
        members = F.one_hot(_nearest(bright, centres), _REGIONS).to(bright)
        counts = members.sum(dim=0)
        # A region that lost all its pixels keeps its place.
        centres = torch.where(counts > 0, bright @ members / counts.clamp_min(1), centres)
    return centres.sort().values


def _search(pixels: Tensor, region: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Find k and A together, on a grid.

    Args:
        pixels: ``(C, N)``, those that are lit.
        region: ``(N,)``, the region of each.
        centres: ``(R,)``, mean brightness of each region.
    """
    slopes = torch.linspace(0.05, 0.95, _SLOPES, device=pixels.device)
    lowest = (centres[-1] + 0.02).clamp(max=1.0).item()
    lights = torch.linspace(lowest, 1.0, _LIGHTS, device=pixels.device)
    grid = torch.cartesian_prod(slopes, lights)
    members = [region == index for index in range(len(centres))]
    shares = torch.stack([member.float().mean() for member in members])
    darkest = torch.stack(
        [
            pixels.amin(dim=0)[member].quantile(_DARKEST_SHARE) if bool(member.any()) else centre
            for member, centre in zip(members, centres, strict=True)
        ]
    )
    costs = [_cost(pixels, centres[region], centres, darkest, shares, *pair) for pair in grid]
    slope, airlight = grid[torch.stack(costs).argmin()]
    return slope, airlight


def _cost(
    pixels: Tensor,
    means: Tensor,
    centres: Tensor,
    darkest: Tensor,
    shares: Tensor,
    slope: Tensor,
    airlight: Tensor,
) -> Tensor:
    """How badly k and A fit: the region fidelity, the haze that is left, and the exposure.

    Fidelity: what the recovery formula sends out of [0, 1] is lost, and with it the region's line. Haze: the
    darkest pixels of a haze-free region are near to black. Exposure: without it, regions that have no dark
    pixel would be put out altogether.

    Args:
        pixels: ``(C, N)``.
        means: ``(N,)``, the region's mean brightness for each pixel.
        centres: ``(R,)``, the same for each region.
        darkest: ``(R,)``, darkest channel of each region's darkest pixels.
        shares: ``(R,)``, of the pixels in each region.
        slope: k.
        airlight: A.
    """
    unbounded = _recover(pixels, means, slope, airlight)
    recovered = unbounded.clamp(0, 1)
    lost = (unbounded - recovered).square().mean()
    # The recovery is rising and the same for a whole region, so it takes the darkest to the darkest.
    haze = (_recover(darkest, centres, slope, airlight).clamp(0, 1).square() * shares).sum()
    exposure = (recovered.mean() - _EXPOSURE).square()
    return _FIDELITY * lost + _HAZE * haze + exposure
