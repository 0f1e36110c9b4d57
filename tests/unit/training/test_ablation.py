"""Every row of Table V by switches alone, and what each switch does to a step."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.guidance import guidance_of, site_guidance
from hqgnet.method_config import Normalization
from hqgnet.training.local import LocalTrainer
from tests.unit.training.systems import CPU, edited

ROWS: dict[str, dict[str, Any]] = {
    "a without guidance": {"guidance": "none"},
    "a learnable tensor": {"guidance": "learnable"},
    "b L1": {"inter_variance": 1.0},
    "b L2": {"intra_variance": 1.0},
    "b L1 + L2": {"inter_variance": 1.0, "intra_variance": 1.0},
    "d without multi-scale": {"multi_scale": False},
    "d v_z": {"guidance_vector": "v_z"},
    "e AdaLIN, features matched": {"feature_matching": "features"},
    "Fig. 8": {"guidance_vector": "feature"},
    "Fig. 7": {"pretraining": "hq"},
    **{f"d, e {kind}": {"normalization": kind} for kind in get_args(Normalization)},
    **{
        f"e {kind}, features": {"normalization": kind, "guidance_vector": "feature"}
        for kind in ("concatenate", "add", "multiply")
    },
    **{f"f {kept}": {"content_loss": kept} for kept in ("none", "haar", "consistency", "structure")},
}


def losses(experiment: Experiment, data: SiteData, steps: int = 1) -> dict[str, float]:
    return LocalTrainer(experiment, [data], CPU).train("enhance", 0, steps).losses


@pytest.mark.parametrize("row", ROWS)
def test_every_row_trains_with_finite_losses(
    row: str, tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    found = losses(edited(tiny_experiment, ablation=ROWS[row]), tiny_sites[0], steps=2)
    assert all(torch.isfinite(torch.tensor(value)) for value in found.values())


@pytest.mark.parametrize(
    ("kept", "present"),
    [
        ("none", set()),
        ("haar", {"haar"}),
        ("consistency", {"feature_consistency"}),
        ("structure", {"structure"}),
        ("haar_and_consistency", {"haar", "feature_consistency"}),
    ],
)
def test_the_content_loss_is_what_is_kept(
    kept: str, present: set[str], tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    """Table V f: the objective is the weighted sum of the terms that count, and of no other."""
    experiment = edited(
        tiny_experiment,
        ablation={"content_loss": kept},
        training={"batch_size": 2, "weights": {"structure": 3.0}},
    )
    found = losses(experiment, tiny_sites[0])
    assert found.keys() & {"haar", "feature_consistency", "structure"} == present
    weights = {"haar": 3.0, "structure": 3.0, "feature_consistency": 10.0, "adversarial": 1.0}
    expected = sum(weight * found.get(name, 0.0) for name, weight in weights.items())
    assert found["enhancement"] == pytest.approx(expected, rel=1e-5)


def test_the_variances_are_added_by_their_weights(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    plain = losses(tiny_experiment, tiny_sites[0])
    weighed = {"inter_variance": 0.5, "intra_variance": 2.0}
    found = losses(edited(tiny_experiment, ablation=weighed), tiny_sites[0])
    added = sum(weight * found[name] for name, weight in weighed.items())
    assert found["enhancement"] == pytest.approx(plain["enhancement"] + added, rel=1e-4)
    assert found["inter_variance"] > 0 and found["intra_variance"] > 0


def test_pretraining_on_hq_images_alone_sees_other_images(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    states = []
    for images in ("hq", "hq_and_lq"):
        experiment = edited(tiny_experiment, ablation={"pretraining": images})
        trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
        trainer.train("pretrain", 0, 1)
        states.append(trainer.state()["cue_extractor.trunk.stem.0.weight"])
    assert not torch.equal(*states)


def test_a_pool_of_guides_gives_each_image_one_of_them(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    """Table V c."""
    networks = LocalTrainer(tiny_experiment, tiny_sites[:1], CPU).networks
    pools = {}
    for pool in ("one", "ten", "all"):
        experiment = edited(tiny_experiment, ablation={"guidance_pool": pool})
        pools[pool] = site_guidance(networks, tiny_sites[0], experiment, CPU)
    one, every = pools["one"], pools["all"]
    assert one is not None and every is not None
    assert one.shape == (1, 64) and every.shape == (len(tiny_sites[0].hq["test"]), 64)
    torch.testing.assert_close(every[:1], one)
    drawn = [guidance_of(every, index) for index in range(40)]
    again = [guidance_of(every, index) for index in range(40)]
    assert all(torch.equal(first, second) for first, second in zip(drawn, again, strict=True))  # type: ignore[arg-type]
    rows = {tuple(guide[0].tolist()) for guide in drawn if guide is not None}
    assert rows == {tuple(row.tolist()) for row in every}
    assert guidance_of(one, 17) is one and guidance_of(None, 0) is None
