"""Table V (a to g), Fig. 7 and Fig. 8: rows by switches of HQG-Net, beside the paper's cells.

In the paper "A→B" means that A stands in B's place. It prints vz where the text says v_z.
"""

from __future__ import annotations

from typing import Any, get_args

from hqgnet.ablation.tables import Row, Table, cells
from hqgnet.config import Modality
from hqgnet.robustness.noise import NOISES, Noise
from hqgnet.training_config import SubBand

METRICS: dict[Modality, tuple[str, ...]] = {
    "ccm": ("snr_3", "dice_image"),
    "fundus": ("s_hq", "piqe"),
    "colonoscopy": ("niqe", "dice_image"),
}
_UNPRETRAINED = {"phases.pretrain.rounds": 0}
_BANDS = ("vertical", "horizontal", "diagonal")
"""In the order of the paper's brackets."""


def _table(name: str, caption: str, rows: tuple[Row, ...], *lines: str) -> Table:
    """Return a part of Table V; the lines are SNR, Dice; S_HQ, PIQE; NIQE, Dice, as printed."""
    quoted = iter(cells(line) for line in lines)
    paper = {modality: {metric: next(quoted) for metric in names} for modality, names in METRICS.items()}
    return Table(name, caption, rows, METRICS, paper)


def _figure(name: str, caption: str, rows: tuple[Row, ...], noises: tuple[Noise, ...]) -> Table:
    return Table(name, caption, rows, METRICS, {}, noises=noises)


def _ablation(name: str, title: str, **switches: Any) -> Row:
    return Row(name, title, {f"ablation.{key}": value for key, value in switches.items()})


def _bands(*used: int) -> Row:
    chosen = [band for band, use in zip(_BANDS, used, strict=True) if use]
    name = "all" if len(chosen) == len(_BANDS) else "-".join(chosen)
    # In the order of the default, so that all three are the method as it is.
    ordered = tuple(band for band in get_args(SubBand) if band in chosen)
    return Row(name, f"({','.join(map(str, used))})", {"training.sub_bands": ordered})


SWITCHES = (
    _table(
        "Va",
        "effect of the HQ guidance mechanism",
        (
            Row("without-guidance", "w/o guidance", {"ablation.guidance": "none", **_UNPRETRAINED}),
            Row("learnable", "Learnable tensor", {"ablation.guidance": "learnable", **_UNPRETRAINED}),
            Row("guidance", "w/ guidance"),
        ),
        "18.62|19.83|22.68",
        "0.47|0.48|0.54",
        "0.28|0.34|0.60",
        "19.92|17.64|12.16",
        "7.32|7.05|6.61",
        "0.87|0.89|0.91",
    ),
    _table(
        "Vb",
        "consistency of the guidance representation",
        (
            Row("without-constraints", "w/o const"),
            _ablation("inter", "w/ L1", inter_variance=1.0),
            _ablation("intra", "w/ L2", intra_variance=1.0),
            _ablation("both", "w/ L1+L2", inter_variance=1.0, intra_variance=1.0),
        ),
        "22.68|22.67|22.69|22.67",
        "0.54|0.54|0.54|0.54",
        "0.60|0.60|0.60|0.60",
        "12.16|12.18|12.25|12.23",
        "6.61|6.64|6.60|6.65",
        "0.91|0.90|0.90|0.90",
    ),
    _table(
        "Vc",
        "robustness to the HQ guidance",
        (
            _ablation("all", "All data", guidance_pool="all"),
            _ablation("ten", "10 images", guidance_pool="ten"),
            Row("one", "1 fixed image"),
        ),
        "22.56|22.71|22.68",
        "0.54|0.53|0.54",
        "0.61|0.60|0.60",
        "11.93|12.70|12.16",
        "6.63|6.52|6.61",
        "0.90|0.91|0.91",
    ),
    _table(
        "Vd",
        "effect of the joint vector and AdaLIN",
        (
            _ablation("without-multi-scale", "w/o multiscale", multi_scale=False),
            _ablation("v-z", "vz→vc", guidance_vector="v_z"),
            _ablation("adain", "AdaIN→AdaLIN", normalization="adain"),
            _ablation("adaln", "AdaLN→AdaLIN", normalization="adaln"),
            Row("adalin", "w/ AdaLIN"),
        ),
        "21.15|20.73|22.12|21.72|22.68",
        "0.51|0.51|0.52|0.50|0.54",
        "0.52|0.53|0.56|0.53|0.60",
        "16.73|17.97|14.14|13.72|12.16",
        "7.74|7.82|7.14|6.90|6.61",
        "0.84|0.85|0.90|0.88|0.91",
    ),
    _table(
        "Ve",
        "AdaLIN against other integration strategies, with combined feature maps for feature matching",
        (
            _ablation(
                "concatenate",
                "Concatenate→AdaLIN",
                normalization="concatenate",
                guidance_vector="feature",
            ),
            _ablation("add", "Add→AdaLIN", normalization="add", guidance_vector="feature"),
            _ablation("multiply", "Multiple→AdaLIN", normalization="multiply", guidance_vector="feature"),
            _ablation("adalin", "w/ AdaLIN", feature_matching="features"),
        ),
        "20.04|20.10|19.86|22.19",
        "0.51|0.51|0.50|0.52",
        "0.50|0.49|0.46|0.55",
        "16.38|17.06|16.82|12.94",
        "7.28|7.55|7.73|6.92",
        "0.85|0.84|0.84|0.87",
    ),
    _table(
        "Vf",
        "the content-aware loss L_CA",
        (
            _ablation("none", "w/o LCA", content_loss="none"),
            _ablation("haar", "LHaar→LCA", content_loss="haar"),
            _ablation("consistency", "LFC→LCA", content_loss="consistency"),
            _ablation("structure", "Ls→LCA", content_loss="structure"),
            Row("both", "w/ LCA"),
        ),
        "21.16|21.45|21.29|21.82|22.68",
        "0.48|0.53|0.49|0.51|0.54",
        "0.40|0.48|0.54|0.53|0.60",
        "16.30|15.40|13.76|14.81|12.16",
        "8.71|7.25|7.13|7.36|6.61",
        "0.80|0.87|0.89|0.83|0.91",
    ),
    _table(
        "Vg",
        "high-frequency components in L_Haar (vertical, horizontal, diagonal)",
        (
            _bands(1, 0, 0),
            _bands(0, 1, 0),
            _bands(0, 0, 1),
            _bands(1, 1, 0),
            _bands(1, 0, 1),
            _bands(0, 1, 1),
            _bands(1, 1, 1),
        ),
        "21.54|21.49|22.03|22.14|22.44|22.46|22.68",
        "0.52|0.51|0.52|0.52|0.53|0.53|0.54",
        "0.46|0.47|0.52|0.53|0.57|0.56|0.60",
        "15.37|15.42|14.07|13.85|12.94|12.86|12.16",
        "7.86|7.92|7.73|7.46|7.12|6.97|6.61",
        "0.83|0.82|0.83|0.86|0.89|0.90|0.91",
    ),
    _figure(
        "fig7",
        "noise on the guide, with the cue extractor pretrained on different data",
        (_ablation("hq", "HQ data only", pretraining="hq"), Row("hq-and-lq", "HQ & LQ data")),
        NOISES,
    ),
    _figure(
        "fig8",
        "noise on the guide, with feature-based and vector-based guidance",
        (
            _ablation("feature", "feature-based", guidance_vector="feature"),
            Row("vector", "vector-based (ours)"),
        ),
        ("gaussian",),
    ),
)
