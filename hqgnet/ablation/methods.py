"""Tables III, VII and VIII: methods side by side, beside the paper's cells.

Of the paper's fifteen methods those that are built here; the others (StarGAN V2, SSEN, TTSR, C2-Matching,
MASA-SR) are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqgnet.ablation.tables import Row, Table, cells
from hqgnet.config import Modality
from hqgnet.method_config import CLASSICAL_METHODS

_PEER = {"output": None}
"""HQG-Net's alone: a peer has an output of its own."""

_STILLGAN: Mapping[str, Any] = {"method": "stillgan", "phases.pretrain.rounds": 0, **_PEER}
_ENLIGHTENGAN: Mapping[str, Any] = {"method": "enlightengan", "training.adversarial": "lsgan", **_PEER}
_CLASSICAL = tuple(Row(method, method.upper(), {"method": method, **_PEER}) for method in CLASSICAL_METHODS)
ROWS = (
    Row("original", "Original", kind="untouched"),
    *_CLASSICAL,
    Row("stillgan", "StillGAN", _STILLGAN),
    Row("enlightengan", "EnlightenGAN", _ENLIGHTENGAN),
    Row("hqgnet", "HQG-Net"),
    Row("stillgan-plus", "StillGAN+", _STILLGAN, "joint"),
    Row("enlightengan-plus", "EnlightenGAN+", _ENLIGHTENGAN, "joint"),
    Row("hqgnet-plus", "HQG-Net+", kind="joint"),
)
_METRICS: dict[Modality, tuple[str, ...]] = {
    "ccm": ("snr_3", "snr_5", "snr_7", "snr_9"),
    "colonoscopy": ("average_gradient", "entropy", "niqe", "brisque"),
    "fundus": ("s_hq", "piqe"),
}
_SEGMENTATION = ("auc_image", "acc_image", "sen_image", "dice_image", "g_mean_image")
_LEVELS = range(4)
_ACCURACY = tuple(f"grade_acc_{level}" for level in _LEVELS)
_F1 = tuple(f"grade_f1_{level}" for level in _LEVELS)


def _by_row(metrics: tuple[str, ...], *lines: str) -> dict[str, tuple[str, ...]]:
    """Return cells by metric from lines by row."""
    return dict(zip(metrics, zip(*(cells(line) for line in lines), strict=True), strict=True))


def _by_level(metrics: tuple[str, ...], *lines: str) -> dict[str, tuple[str, ...]]:
    return {metric: cells(line) for metric, line in zip(metrics, lines, strict=True)}


def _named(*names: str) -> tuple[Row, ...]:
    by_name = {row.name: row for row in ROWS}
    return tuple(by_name[name] for name in names)


METHODS = (
    Table(
        "III",
        "quality of enhanced images",
        ROWS,
        _METRICS,
        {
            "ccm": _by_row(
                _METRICS["ccm"],
                "17.47|17.61|17.65|17.67",
                "18.12|18.97|19.73|21.35",
                "14.27|15.07|17.72|18.83",
                "15.14|17.54|20.57|21.86",
                "20.45|21.11|21.94|22.74",
                "20.22|22.87|23.55|24.37",
                "22.68|23.19|25.08|26.14",
                "21.74|22.35|22.87|23.42",
                "21.03|23.28|23.97|24.93",
                "24.13|26.24|26.87|27.12",
            ),
            "colonoscopy": _by_row(
                _METRICS["colonoscopy"],
                "1.10|4.29|12.89|51.76",
                "4.33|6.32|6.82|39.46",
                "5.84|6.18|6.43|44.73",
                "2.59|5.91|6.85|42.07",
                "6.32|6.56|6.62|39.42",
                "6.60|6.85|6.69|41.15",
                "6.75|7.26|6.61|36.43",
                "6.38|6.67|6.54|39.33",
                "6.68|6.87|6.68|39.31",
                "6.93|6.92|6.43|33.17",
            ),
        },
        across="metrics",
    ),
    Table(
        "VII",
        "segmentation",
        ROWS,
        dict.fromkeys(_METRICS, _SEGMENTATION),
        {
            "ccm": _by_row(
                _SEGMENTATION,
                "0.877|0.982|0.492|0.387|0.674",
                "0.919|0.951|0.815|0.352|0.886",
                "0.936|0.976|0.815|0.483|0.869",
                "0.931|0.975|0.765|0.477|0.866",
                "0.942|0.973|0.831|0.488|0.879",
                "0.929|0.969|0.771|0.457|0.887",
                "0.951|0.984|0.837|0.536|0.893",
                "0.950|0.971|0.851|0.557|0.886",
                "0.934|0.972|0.788|0.502|0.891",
                "0.963|0.991|0.872|0.663|0.907",
            ),
            "colonoscopy": _by_row(
                _SEGMENTATION,
                "0.965|0.978|0.871|0.885|0.914",
                "0.959|0.974|0.841|0.856|0.895",
                "0.961|0.972|0.842|0.855|0.891",
                "0.764|0.914|0.407|0.407|0.493",
                "0.976|0.979|0.856|0.901|0.931",
                "0.965|0.978|0.887|0.879|0.907",
                "0.978|0.981|0.891|0.906|0.930",
                "0.976|0.981|0.878|0.916|0.941",
                "0.971|0.982|0.896|0.906|0.922",
                "0.982|0.986|0.910|0.924|0.943",
            ),
        },
        across="metrics",
        judges="segmentation",
    ),
    Table(
        "VIII",
        "grading of tortuosity, each level against the others",
        _named(
            "hqgnet",
            "hqgnet-plus",
            "stillgan",
            "stillgan-plus",
            "enlightengan",
            "enlightengan-plus",
        ),
        dict.fromkeys(_METRICS, (*_ACCURACY, *_F1)),
        {
            "ccm": {
                **_by_level(
                    _ACCURACY,
                    "0.941|0.972 (+0.031)|0.953|0.978 (+0.025)|0.930|0.961 (+0.031)",
                    "0.923|0.931 (+0.008)|0.906|0.922 (+0.016)|0.909|0.920 (+0.011)",
                    "0.923|0.947 (+0.024)|0.910|0.931 (+0.021)|0.911|0.926 (+0.015)",
                    "0.930|0.952 (+0.022)|0.936|0.949 (+0.013)|0.929|0.946 (+0.017)",
                ),
                **_by_level(
                    _F1,
                    "0.813|0.835 (+0.022)|0.765|0.796 (+0.031)|0.772|0.785 (+0.013)",
                    "0.854|0.876 (+0.022)|0.777|0.813 (+0.036)|0.817|0.858 (+0.041)",
                    "0.761|0.811 (+0.050)|0.727|0.771 (+0.044)|0.719|0.764 (+0.045)",
                    "0.935|0.942 (+0.007)|0.882|0.906 (+0.024)|0.879|0.895 (+0.016)",
                ),
            }
        },
        judges="grading",
    ),
)
