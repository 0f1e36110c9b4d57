"""How figures are called and written on a page; what is missing, NaN or infinite is ``n/a``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

NOT_AVAILABLE = "n/a"
MINUS = "\u2212"
_VERSION = "_enhanced"
_OVER_IMAGES = "_image"

Better = Literal["higher", "lower", "neither"]
Tone = Literal["better", "worse", "same", "other"]


@dataclass(frozen=True)
class Figure:
    """A metric as a reader sees it.

    Attributes:
        name: In rows, without the version of the image: ``psnr``.
        title: For readers: ``PSNR``.
        unit: Empty where it has none.
        decimals: Written.
        better: ``neither`` where more is not always better.
        main: Whether it stands in summaries and plots.
        meaning: One line.
    """

    name: str
    title: str
    unit: str = ""
    decimals: int = 3
    better: Better = "higher"
    main: bool = False
    meaning: str = ""

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def tone(self, change: float | None) -> Tone:
        """Return what a change means: ``other`` where more is not always better, or nothing is known."""
        known = finite(change)
        if known is None or self.better == "neither":
            return "other"
        if not round(known, self.decimals):
            return "same"
        return "better" if (known > 0) == (self.better == "higher") else "worse"


FIGURES = (
    Figure("psnr", "PSNR", "dB", 2, main=True, meaning="likeness to the clean twin, pixel by pixel"),
    Figure("ssim", "SSIM", main=True, meaning="likeness of structure to the clean twin"),
    Figure("dice", "Dice", main=True, meaning="downstream network against mask, over all pixels"),
    Figure("auc", "AUC", main=True, meaning="downstream network: chance to score a mask's pixel higher"),
    Figure("snr_3", "SNR_3", "dB", 2, main=True, meaning="nerves against their surroundings, radius 3"),
    Figure(
        "average_gradient",
        "Average gradient",
        "grey levels",
        2,
        "neither",
        True,
        "detail, or noise",
    ),
    Figure("entropy", "Entropy", "bits", 2, "neither", True, "spread of grey levels, or noise"),
    Figure("dice_image", "Dice, mean over images", meaning="every image counts alike"),
    Figure("auc_image", "AUC, mean over images", meaning="every image counts alike"),
    Figure("acc", "Accuracy", meaning="downstream network, at a probability of 0.5"),
    Figure("sen", "Sensitivity", meaning="share of the mask that is found"),
    Figure("spe", "Specificity", meaning="share of the rest that is left alone"),
    Figure("g_mean", "G-mean", meaning="square root of sensitivity x specificity"),
    Figure("snr_5", "SNR_5", "dB", 2, meaning="as SNR_3, radius 5"),
    Figure("snr_7", "SNR_7", "dB", 2, meaning="as SNR_3, radius 7"),
    Figure("snr_9", "SNR_9", "dB", 2, meaning="as SNR_3, radius 9"),
    Figure("s_hq", "S_HQ", main=True, meaning="chance of high quality, by the site's own classifier"),
    Figure("piqe", "PIQE", "", 1, "lower", True, "distortion of blocks, without a twin"),
    Figure("niqe", "NIQE", "", 2, "lower", True, "distance from natural images, without a twin"),
    Figure("brisque", "BRISQUE", "", 1, "lower", True, "distortion, without a twin"),
    Figure("grade_acc", "Grading accuracy", main=True, meaning="share of images graded as by people"),
    Figure("grade_f1", "Grading F1", main=True, meaning="mean over the levels"),
    Figure("grade_pre", "Grading precision", meaning="mean over the levels"),
    Figure("grade_sen", "Grading sensitivity", meaning="mean over the levels"),
)
_BY_NAME = {figure.name: figure for figure in FIGURES}
_ORDER = {figure.name: number for number, figure in enumerate(FIGURES)}


def figure(name: str) -> Figure:
    """Return a metric by its name in rows; one that is not known here is called by that name."""
    return _BY_NAME.get(name) or Figure(name, name.replace("_", " "), better="neither")


def present(rows: Iterable[Mapping[str, object]], *, main: bool = False) -> list[Figure]:
    """Return the metrics that some row has for enhanced images, in the order of a page.

    Means over images of pooled figures are left out, but for those that have a line of their own above.

    Args:
        rows: Figures by name, such as ``psnr_enhanced``.
        main: Only those of summaries and plots.
    """
    names = {
        key.removesuffix(_VERSION)
        for row in rows
        for key, value in row.items()
        if key.endswith(_VERSION) and finite(value) is not None
    }
    ordered = sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
    wanted = [name for name in ordered if name in _BY_NAME or not name.endswith(_OVER_IMAGES)]
    return [known for known in map(figure, wanted) if known.main or not main]


def finite(value: object) -> float | None:
    """Return a number that can be written; None for anything else, NaN and infinity included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def difference(after: object, before: object) -> float | None:
    """Return what has been gained; None where either is missing."""
    last, first = finite(after), finite(before)
    return None if last is None or first is None else last - first


def write(value: object, decimals: int) -> str:
    """Return a number with so many decimals."""
    known = finite(value)
    if known is None:
        return NOT_AVAILABLE
    # No minus before a zero.
    return f"{round(known, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def write_change(value: object, decimals: int) -> str:
    """Return a number with its sign."""
    known = finite(value)
    if known is None:
        return NOT_AVAILABLE
    text = write(known, decimals)
    return text if text.startswith(MINUS) or not round(known, decimals) else f"+{text}"


def write_bytes(value: object) -> str:
    """Return a number of bytes in powers of 1000."""
    known = finite(value)
    if known is None:
        return NOT_AVAILABLE
    for unit in ("bytes", "kB", "MB", "GB"):
        text = f"{known:.0f}" if unit == "bytes" else f"{known:.3g}"
        if float(text) < 1000:
            return f"{text} {unit}"
        known /= 1000
    return f"{known:.4g} TB"


def write_seconds(value: object) -> str:
    """Return a span of time."""
    known = finite(value)
    if known is None:
        return NOT_AVAILABLE
    if round(known, 1) < 60:
        return f"{known:.1f} s"
    minutes, seconds = divmod(round(known), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
