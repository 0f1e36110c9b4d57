"""What the classical enhancers share: edge-keeping smoothing, illumination, light without new colours."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
import torch.nn.functional as F
from torch import Tensor

Enhance = Callable[[Tensor], Tensor]

DARKEST = 1e-3
"""Below this a value is no light: a quarter of one step of 8 bits. Divisions stop here."""

_EDGE = 1e-3
"""Variance at which the guided filter sees an edge: a standard deviation of 3 % of the range."""

_LUMA = (0.299, 0.587, 0.114)

_UNLIT, _LIT = 0.04, 0.12
"""Illumination, as a share of the brightest, between which enhancement sets in. The border of a fundus
photograph lies below, and the noise in it must stay dark."""


def on_batches(enhance: Enhance) -> Enhance:
    """Let a function of batches take single images too, check its input, and keep its output in range.

    The wrapped function gets ``(B, C, H, W)`` in [0, 1], float32, on the processor, so that all devices give
    the same; and runs without gradients, for a method without parameters has nothing to learn.

    Raises:
        ValueError: From the returned function: integers, or another shape than (C, H, W) or (B, C, H, W) with
            one or three channels.
    """

    @wraps(enhance)
    def checked(image: Tensor) -> Tensor:
        if image.ndim not in (3, 4) or image.shape[-3] not in (1, 3) or not image.is_floating_point():
            raise ValueError(
                "expected (C, H, W) or (B, C, H, W) of 1 or 3 channels in [0, 1], "
                f"got {tuple(image.shape)} of {image.dtype}"
            )
        with torch.no_grad():
            batch = image if image.ndim == 4 else image[None]
            enhanced = enhance(batch.cpu().float().clamp(0, 1)).clamp(0, 1).to(image)
        return enhanced if image.ndim == 4 else enhanced[0]

    return checked


def box_mean(images: Tensor, radius: int) -> Tensor:
    """Mean over the square window of side ``2 radius + 1`` around each pixel, as far as it lies inside.

    The work does not grow with the radius.

    Args:
        images: ``(B, C, H, W)``.
        radius: In pixels; 0 returns the images.
    """
    return _line_mean(_line_mean(images, radius, 2), radius, 3)


def _line_mean(images: Tensor, radius: int, axis: int) -> Tensor:
    """Mean over ``2 radius + 1`` pixels along an axis, from running sums."""
    length = images.shape[axis]
    places = torch.arange(length, device=images.device)
    first, last = (places - radius).clamp_min(0), (places + radius + 1).clamp_max(length)
    # Differences of large sums: in single precision they would drown a variance.
    sums = F.pad(images.transpose(axis, -1).cumsum(-1, dtype=torch.float64), (1, 0))
    means = (sums[..., last] - sums[..., first]) / (last - first)
    return means.to(images.dtype).transpose(axis, -1)


def guided_filter(guide: Tensor, source: Tensor, radius: int, edge: float = _EDGE) -> Tensor:
    """Smooth ``source``, but not across the edges of ``guide`` (He, Sun and Tang, TPAMI 2013).

    Args:
        guide: ``(B, 1, H, W)``.
        source: ``(B, C, H, W)``.
        radius: Of the windows, in pixels.
        edge: Variance of the guide above which it counts as an edge.

    Returns:
        ``(B, C, H, W)``: in each window a linear function of the guide.
    """
    guide_mean, source_mean = box_mean(guide, radius), box_mean(source, radius)
    covariance = box_mean(guide * source, radius) - guide_mean * source_mean
    variance = (box_mean(guide * guide, radius) - guide_mean**2).clamp_min(0)
    slope = covariance / (variance + edge)
    offset = source_mean - slope * guide_mean
    return box_mean(slope, radius) * guide + box_mean(offset, radius)


def window_radius(images: Tensor, share: float) -> int:
    """Radius in pixels of a window that spans a share of the shorter side, at least 1."""
    return max(1, round(min(images.shape[-2:]) * share / 2))


def brightness(images: Tensor) -> Tensor:
    """Brightness (B, 1, H, W) of images (B, C, H, W): luma (ITU-R BT.601) of colours, grey as it is.

    Not the brightest channel, for that is red in a fundus photograph, where vessels hardly show.
    """
    if images.shape[1] == 1:
        return images
    return (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def illumination(bright: Tensor, radius: int, edge: float = _EDGE) -> Tensor:
    """Estimate the light that falls on each pixel: the brightness, smoothed within edges.

    Args:
        bright: ``(B, 1, H, W)`` in [0, 1].
        radius: Of the smoothing window, in pixels.
        edge: See :func:`guided_filter`.

    Returns:
        ``(B, 1, H, W)`` in [:data:`DARKEST`, 1].
    """
    return guided_filter(bright, bright, radius, edge).clamp(DARKEST, 1)


def lit_share(light: Tensor) -> Tensor:
    """How much a pixel belongs to the picture: 0 in an unlit border, 1 in the light, smooth between.

    Args:
        light: Illumination ``(B, 1, H, W)``.
    """
    relative = light / light.amax(dim=(1, 2, 3), keepdim=True).clamp_min(DARKEST)
    ramp = ((relative - _UNLIT) / (_LIT - _UNLIT)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def mean_where_lit(values: Tensor, lit: Tensor) -> Tensor:
    """Mean (B, 1, 1, 1) of values (B, 1, H, W), each weighed by ``lit``."""
    total = lit.sum(dim=(1, 2, 3), keepdim=True).clamp_min(DARKEST)
    return (values * lit).sum(dim=(1, 2, 3), keepdim=True) / total


def with_brightness(images: Tensor, bright: Tensor, wanted: Tensor, lit: Tensor) -> Tensor:
    """Scale all channels alike, so that the brightness becomes ``wanted``: hue and saturation stay.

    Args:
        images: ``(B, C, H, W)``.
        bright: Their brightness, ``(B, 1, H, W)``.
        wanted: What it should become; less, where a channel would leave [0, 1].
        lit: Where it should, in [0, 1]; elsewhere the images stay as they are.
    """
    headroom = 1 / images.amax(dim=1, keepdim=True).clamp_min(DARKEST)
    gain = torch.minimum(wanted / bright.clamp_min(DARKEST), headroom)
    return images * (1 + lit * (gain - 1))
