"""A step encodes and judges each image as often as it must, and no more."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import Tensor, nn

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.training.local import LocalTrainer
from tests.unit.training.systems import CPU, edited

BATCH = 2
# LQ, HQ and enhanced images: each passes once through what describes it.
ENCODED = {"encoder": 2, "cue_extractor": 2, "decoder": 1}
# Real and enhanced images for the discriminator's step; then the moved discriminator judges enhanced ones.
JUDGED = {"discriminator": 3}


@pytest.mark.parametrize(
    ("phase", "ablation", "passes"),
    [
        ("enhance", {}, {**ENCODED, **JUDGED}),
        ("cooperate", {}, {**ENCODED, **JUDGED, "task": 1}),
        ("enhance", {"content_loss": "haar"}, {"encoder": 1, "cue_extractor": 1, "decoder": 1, **JUDGED}),
        ("enhance", {"inter_variance": 1.0}, {**ENCODED, **JUDGED}),
        # A view of each HQ image is another image.
        ("enhance", {"intra_variance": 1.0}, {**ENCODED, **JUDGED, "cue_extractor": 3}),
    ],
)
def test_no_image_passes_twice(
    phase: PhaseName,
    ablation: dict[str, object],
    passes: dict[str, int],
    tiny_experiment: Experiment,
    tiny_sites: list[SiteData],
) -> None:
    experiment = edited(tiny_experiment, ablation=ablation, training={"batch_size": BATCH})
    trainer = LocalTrainer(experiment, tiny_sites[:1], CPU)
    networks = trainer.networks
    first_layers = {
        "encoder": networks.generator.get_submodule("encoder.stem.0"),
        "cue_extractor": networks.get_submodule("cue_extractor.trunk.stem.0"),
        "decoder": networks.generator.get_submodule("last"),
        "discriminator": networks.discriminator.get_submodule("layers.0"),
        "task": networks.task,
    }
    images: Counter[str] = Counter()
    for name, layer in first_layers.items():

        def count(module: nn.Module, given: tuple[Tensor], result: Tensor, name: str = name) -> None:
            images[name] += len(given[0])

        layer.register_forward_hook(count)
    trainer.train(phase, 0, 1)
    assert images == {name: times * BATCH for name, times in passes.items()}
