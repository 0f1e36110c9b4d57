"""Figures of rows: under noise on the guide they are of the same images as without."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.judging import judge_row
from hqgnet.ablation.stages import plan
from hqgnet.config import EvaluationConfig, Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.model_file import TASK_TRAINED, save_model
from hqgnet.networks import networks_of
from hqgnet.robustness.guides import Plan


@pytest.fixture
def unequal(tmp_path: Path) -> list[SiteData]:
    """Two sites of nerves: one test image of four has a mask at the first, both of two at the second."""
    counts = {"train_lq": 2, "train_hq": 2, "validation_lq": 1, "test_lq": 4, "test_hq": 1}
    files = make_sites("ccm", 2, 5, tmp_path / "sites", size=48, **counts)
    first, second = (SiteData.open(load_site_config(file)) for file in files)
    bare = tuple(Sample(sample.path, sample.patient) for sample in first.lq["test"][1:])
    return [
        SiteData(first.config, {**first.lq, "test": (first.lq["test"][0], *bare)}, first.hq, (), (48, 48)),
        SiteData(second.config, {**second.lq, "test": second.lq["test"][:2]}, second.hq, (), (48, 48)),
    ]


def test_noise_of_no_strength_gives_the_figures_without_noise(
    tmp_path: Path, tiny_experiment: Experiment, unequal: list[SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images without a mask have neither SNR nor Dice, so they must not weigh either."""
    table = table_named("fig8")
    changes = {"modality": "ccm", "channels": 1, "evaluation": EvaluationConfig(metrics=("snr_3",))}
    given = Experiment.model_validate(tiny_experiment.model_dump(exclude={"ablation"}) | changes)
    (planned,) = plan(
        table, rows_named(table, ["vector"]), given, 2, (1,), "experiment.yaml", with_downstream=True
    )
    assert planned.stage is not None
    model = tmp_path / planned.stage.model
    model.parent.mkdir(parents=True)
    torch.manual_seed(0)
    experiment = planned.stage.experiment
    networks = networks_of(experiment)
    # Every pixel is marked, so that Dice is above 0 and tells masks apart.
    [bias for name, bias in networks.task.named_parameters() if name.endswith("bias")][-1].data.fill_(9.0)
    save_model(model, networks, experiment, guidance=None, details={TASK_TRAINED: True})
    monkeypatch.setattr("hqgnet.ablation.judging.Plan", partial(Plan, strengths=(0.0,)))
    verdict = judge_row(planned, table, unequal, tmp_path, torch.device("cpu"))
    for metric in ("snr_3", "dice_image"):
        of_sites = [figures[f"{metric}_enhanced"] for figures in verdict.sites.values()]
        assert of_sites[0] != pytest.approx(of_sites[1]), "sites must differ for weights to matter"
        noisy = verdict.figures[f"{metric}@gaussian 0_enhanced"]
        assert noisy == pytest.approx(verdict.figures[f"{metric}_enhanced"]), metric
