"""A joint training goes on with what the enhancer's training left, not only with what is published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.stages import Stage, plan
from hqgnet.ablation.training import train_stage
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ModelFileError
from hqgnet.training.central import train_centrally

CPU = torch.device("cpu")


def stages(experiment: Experiment, row: str) -> tuple[Stage, ...]:
    table = table_named("III")
    # So small a rate that weights stand still.
    given = experiment.model_dump(exclude={"training", "ablation"}) | {"training": {"learning_rate": 1e-12}}
    still = Experiment.model_validate(given)
    (planned,) = plan(table, rows_named(table, [row]), still, 1, (1,), "experiment.yaml")
    return planned.stages


@pytest.mark.parametrize(
    ("row", "groups"),
    [
        ("hqgnet-plus", {"discriminator"}),
        ("stillgan-plus", {"discriminator", "backward_generator"}),
        ("enlightengan-plus", {"discriminator", "cue_extractor"}),
    ],
)
def test_the_next_stage_begins_where_the_last_one_ended(
    row: str, groups: set[str], tmp_path: Path, tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    first, second = stages(tiny_experiment, row)
    train_stage(first, tiny_sites[:1], tmp_path, CPU, row, lambda told: None)
    kept = load_file(tmp_path / first.private)
    assert {name.split(".")[0] for name in kept} == groups
    # Marked, so that a fresh start would be seen.
    marked = {name: value + 1 if name.endswith("weight") else value for name, value in kept.items()}
    trainer = train_centrally(second.experiment_in(tmp_path), tiny_sites[:1], CPU, initial=marked)
    for name, value in trainer.state().items():
        if name.endswith("weight") and name in marked:
            torch.testing.assert_close(value, marked[name], rtol=0, atol=1e-6)


def test_a_damaged_file_is_told_with_its_remedy(
    tmp_path: Path, tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    first, second = stages(tiny_experiment, "hqgnet-plus")
    train_stage(first, tiny_sites[:1], tmp_path, CPU, "row", lambda told: None)
    (tmp_path / first.private).write_bytes(b"no safetensors")
    with pytest.raises(ModelFileError, match="it is trained again"):
        train_stage(second, tiny_sites[:1], tmp_path, CPU, "row", lambda told: None)
    assert not (tmp_path / second.model).exists()
