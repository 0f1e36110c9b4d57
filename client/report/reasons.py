"""Why an image has no figure of a metric."""

from __future__ import annotations

from hqgnet.evaluation import Judged
from hqgnet.metrics.full_reference import SSIM_WINDOW

_LIKENESS = ("psnr", "ssim")
_DOWNSTREAM = ("dice", "auc", "acc", "sen", "spe", "g_mean")


def reason(metric: str, judged: Judged, *, task_trained: bool) -> str:
    """Return why an image has no figure; to be asked only where it has none.

    Args:
        metric: Without version: ``psnr``.
        judged: The image.
        task_trained: Whether the model holds a trained downstream network.
    """
    item = judged.item
    if not bool(judged.enhanced.isfinite().all()):
        return "the enhanced image is not finite"
    if metric in _LIKENESS:
        if item.twin is None:
            return "no clean twin"
        side = min(item.lq.shape[-2:])
        return f"{side} pixels, {SSIM_WINDOW} are needed" if side < SSIM_WINDOW else "not defined"
    if metric.startswith("snr_"):
        return "no mask" if item.mask is None else "the mask leaves nothing to compare"
    if metric in _DOWNSTREAM:
        if item.mask is None:
            return "no mask"
        return "the mask is empty, or covers all" if task_trained else "no trained downstream network"
    return "nothing to measure inside the field of view"
