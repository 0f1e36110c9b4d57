"""One metric of one image: a number, or a reason; never NaN, whatever the image."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hqgnet.data.site_data import EvaluationItem, SiteData
from hqgnet.evaluation import Judged, score
from hqgnet.metrics.measuring import Companions, measure
from hqgnet.metrics.names import IMAGE_METRICS, REASON_TEXTS, Reason, improves, metrics_of
from hqgnet.metrics.quality import QualityClassifier, QualityNetwork
from hqgnet.scores import SiteScores


def _noise(side: int) -> Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


def _nerve(side: int) -> Tensor:
    mask = torch.zeros(1, side, side)
    mask[:, side // 2] = 1
    return mask


def _two_strips(side: int) -> Tensor:
    """A field of view at the left and right edges: its bounding box is the image, most columns are empty."""
    view = torch.zeros(1, side, side)
    view[..., :20] = view[..., -20:] = 1
    return view


def _whole(side: int) -> Companions:
    torch.manual_seed(0)
    quality = QualityClassifier(QualityNetwork(3).eval(), 3, 32, None, (0, 0))
    return Companions(_noise(side).flip(1), _nerve(side), None, quality)


BAD = {
    "black": torch.zeros(3, 200, 200),
    "constant": torch.full((3, 200, 200), 0.5),
    "tiny": _noise(8),
    "nan": torch.full((3, 200, 200), torch.nan),
    "infinite": torch.full((3, 200, 200), torch.inf),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("metric", IMAGE_METRICS)
@pytest.mark.parametrize("alone", [True, False])
def test_a_bad_image_has_a_finite_figure_or_a_reason(kind: str, metric: str, alone: bool) -> None:
    image = BAD[kind]
    found = measure(metric, image, Companions() if alone else _whole(image.shape[-1]))
    assert isinstance(found, Reason) or math.isfinite(found)
    if kind in ("nan", "infinite"):
        assert found == Reason.NOT_FINITE


@pytest.mark.parametrize(
    ("metric", "side", "beside", "reason"),
    [
        ("psnr", 200, Companions(), Reason.NO_TWIN),
        ("ssim", 200, Companions(), Reason.NO_TWIN),
        ("ssim", 10, Companions(_noise(10)), Reason.TOO_SMALL),
        ("snr_3", 200, Companions(), Reason.NO_MASK),
        ("snr_3", 200, Companions(mask=torch.zeros(1, 200, 200)), Reason.NOTHING),
        ("s_hq", 200, Companions(), Reason.NO_CLASSIFIER),
        ("niqe", 191, Companions(), Reason.TOO_SMALL),
        ("brisque", 31, Companions(), Reason.TOO_SMALL),
        ("piqe", 31, Companions(), Reason.TOO_SMALL),
        ("piqe", 200, Companions(view=torch.zeros(1, 200, 200)), Reason.NOTHING),
        ("niqe", 200, Companions(view=_two_strips(200)), Reason.NOTHING),
        ("niqe", 191, Companions(view=_two_strips(191)), Reason.TOO_SMALL),
    ],
)
def test_the_reason_is_the_right_one(metric: str, side: int, beside: Companions, reason: Reason) -> None:
    assert measure(metric, _noise(side), beside) == reason
    assert REASON_TEXTS[reason]


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_a_good_image_has_every_figure(metric: str) -> None:
    assert isinstance(measure(metric, _noise(200), _whole(200)), float)


def _judged(enhanced: Tensor, item: EvaluationItem) -> Judged:
    return Judged(item, enhanced.unsqueeze(0), {})


def test_a_broken_image_is_in_no_mean_and_is_told(tiny_sites: list[SiteData]) -> None:
    good, other, *_ = tiny_sites[0].evaluation_items("test", 48)
    names = ("psnr", "ssim", "niqe", "piqe")
    sound = score(_judged(good.lq, good), "fundus", names)
    broken = score(_judged(torch.full_like(other.lq, torch.nan), other), "fundus", names)
    both = sound + broken
    assert both.row()["psnr_enhanced"] == sound.row()["psnr_enhanced"]
    assert both.means["psnr_enhanced"].undefined == 1
    assert both.gaps()["psnr"].counted == 1
    assert both.gaps()["psnr"].reasons == [Reason.NOT_FINITE]
    # 48 pixels are too few for NIQE: n/a, and why.
    assert both.row()["niqe_original"] is None
    assert both.gaps()["niqe"].reasons == [Reason.TOO_SMALL, Reason.NOT_FINITE]
    assert SiteScores.from_json(both.to_json()) == both


def test_the_modality_says_which_metrics() -> None:
    assert metrics_of("fundus") == ("psnr", "ssim", "average_gradient", "entropy", "s_hq", "piqe")
    assert metrics_of("ccm")[4:] == ("snr_3", "snr_5", "snr_7", "snr_9")
    assert metrics_of("colonoscopy", ["piqe"])[4:] == ("piqe", "niqe", "brisque")


@pytest.mark.parametrize(
    ("metric", "score", "best", "better"),
    [
        ("psnr", 2.0, 1.0, True),
        ("psnr", 1.0, 1.0, False),
        ("niqe", 2.0, 1.0, False),
        ("niqe", 1.0, 2.0, True),
        ("niqe", None, 2.0, False),
        ("niqe", None, None, True),
        ("piqe", 5.0, None, True),
    ],
)
def test_which_way_is_better(metric: str, score: float | None, best: float | None, better: bool) -> None:
    assert improves(metric, score, best) is better
