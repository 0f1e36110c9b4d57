"""From rows to trainings: which are shared, how long they are, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.stages import Planned, plan, rounds_and_steps
from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from tests.unit.ablation.test_tables import experiment

ROUND, NONE = {"rounds": 1, "steps": 1}, {"rounds": 0, "steps": 1}
SMALL_FOR_ENLIGHTENGAN: dict[str, Any] = {
    "preset": "tiny",
    "image_size": 40,
    "enlightengan": {"patch_size": 48},
}


def planned(name: str, given: Experiment, *rows: str, with_downstream: bool = False) -> dict[str, Planned]:
    table = table_named(name)
    found = plan(
        table,
        rows_named(table, rows),
        given,
        100,
        (1,),
        "experiment.yaml",
        with_downstream=with_downstream,
    )
    return {one.row.name: one for one in found}


@pytest.mark.parametrize(
    ("total", "wished", "expected"),
    [(600, 25, (24, 25)), (150, 25, (6, 25)), (7, 25, (1, 7)), (1, 25, (1, 1)), (100, 30, (4, 25))],
)
def test_budgets_are_kept_to_the_step(total: int, wished: int, expected: tuple[int, int]) -> None:
    assert rounds_and_steps(total, wished) == expected
    assert expected[0] * expected[1] == total


def test_both_begin_with_the_same_enhancer() -> None:
    images, segmentation = planned("III", experiment()), planned("VII", experiment())
    enhanced = images["hqgnet"].stage
    assert enhanced is not None and enhanced.kind == "enhance"
    for row, kind in (("hqgnet", "downstream"), ("hqgnet-plus", "joint")):
        stage = segmentation[row].stage
        assert stage is not None and stage.kind == kind
        assert stage.start is not None and stage.start.folder == enhanced.folder
        assert stage.experiment.start_from == str(enhanced.model)
    assert images["hqgnet-plus"].stage == segmentation["hqgnet-plus"].stage


def test_the_default_of_table_v_is_trained_once() -> None:
    names = {"Va": "guidance", "Vb": "without-constraints", "Vd": "adalin", "Vf": "both", "Vg": "all"}
    folders = {planned(table, experiment(), row)[row].stages[0].folder for table, row in names.items()}
    folders |= {planned("III", experiment(), "hqgnet")["hqgnet"].stages[0].folder}
    folders |= {one.stages[0].folder for one in planned("Vc", experiment()).values()}
    assert len(folders) == 1
    assert planned("Vc", experiment())["ten"].judged.ablation.guidance_pool == "ten"


def test_what_changes_a_weight_changes_the_key() -> None:
    base = planned("III", experiment(), "hqgnet")["hqgnet"].stages[0].key
    assert planned("III", experiment(image_size=96), "hqgnet")["hqgnet"].stages[0].key != base
    assert planned("III", experiment(name="another"), "hqgnet")["hqgnet"].stages[0].key == base
    judged = experiment(evaluation={"metrics": ["psnr"]})
    assert planned("III", judged, "hqgnet")["hqgnet"].stages[0].key == base
    joint = planned("III", experiment(), "hqgnet-plus")["hqgnet-plus"].stages[1].key
    assert planned("III", experiment(image_size=96), "hqgnet-plus")["hqgnet-plus"].stages[1].key != joint


def test_methods_keep_what_their_authors_published_but_for_the_batch() -> None:
    training = {
        name: one.stages[0].experiment.training
        for name, one in planned("III", experiment(), "hqgnet", "stillgan", "enlightengan").items()
    }
    assert [training[name].batch_size for name in training] == [4, 4, 4]
    assert training["stillgan"].learning_rate == 2e-4 and training["hqgnet"].learning_rate == 1e-4
    assert training["enlightengan"].betas == (0.5, 0.999)
    given = experiment(training={"learning_rate": 3e-4, "batch_size": 2, "adversarial": "bce"})
    shared = planned("III", given, "stillgan", "enlightengan")
    assert shared["stillgan"].stages[0].experiment.training.learning_rate == 3e-4
    assert shared["stillgan"].stages[0].experiment.training.adversarial == "bce"
    assert shared["enlightengan"].stages[0].experiment.training.adversarial == "lsgan"
    assert shared["stillgan"].stages[0].experiment.training.batch_size == 2


def test_lengths_follow_from_the_budget() -> None:
    rows = planned("VII", experiment())
    first, second = rows["hqgnet-plus"].stages
    lengths = first.experiment.phases
    assert (lengths.pretrain.rounds, lengths.pretrain.steps) == (5, 5)
    assert (lengths.enhance.rounds, lengths.enhance.steps, lengths.cooperate.rounds) == (20, 5, 0)
    lengths = second.experiment.phases
    assert (lengths.pretrain.rounds, lengths.enhance.rounds) == (0, 0)
    assert (lengths.cooperate.rounds, lengths.cooperate.steps) == (20, 5)
    assert rows["stillgan"].stages[0].experiment.phases.pretrain.rounds == 0
    assert rows["ata"].stages[0].experiment.phases.cooperate.rounds == 20
    assert rows["original"].stages[0].experiment.downstream.sees == "original"


def test_enlightengan_goes_on_with_its_feature_network() -> None:
    stage = planned("III", experiment(), "enlightengan-plus")["enlightengan-plus"].stages[1]
    assert stage.start is not None
    located = stage.experiment_in(Path("results"))
    assert located.start_from == str(Path("results") / stage.start.model)
    assert located.enlightengan.feature_network == str(Path("results") / stage.start.private)
    own = experiment(enlightengan={"feature_network": "mine.safetensors"})
    first, second = planned("III", own, "enlightengan-plus")["enlightengan-plus"].stages
    assert first.experiment.phases.pretrain.rounds == 0
    assert second.experiment_in(Path("out")).enlightengan.feature_network == "mine.safetensors"


def test_a_downstream_network_for_table_v_is_trained_where_it_is_asked_for() -> None:
    assert [s.kind for s in planned("Va", experiment(), "guidance")["guidance"].stages] == ["enhance"]
    asked = planned("Va", experiment(), with_downstream=True)
    assert [s.kind for s in asked["without-guidance"].stages] == ["enhance", "downstream"]


def test_a_finished_downstream_network_judges_as_it_is() -> None:
    """The paper's own protocol: segmentors with their pretrained weights."""
    given = experiment(downstream={"weights": "w.safetensors", "trained_in_cooperate": False})
    rows = planned("VII", given)
    assert rows["original"].stage is None and rows["ata"].stage is None
    assert [stage.kind for stage in rows["hqgnet"].stages] == ["enhance"]
    joint = rows["hqgnet-plus"].stages[1].experiment.downstream
    assert not joint.trained_in_cooperate and joint.enhancer_trained_in_cooperate


def test_what_a_table_says_itself_is_refused_all_at_once() -> None:
    given = experiment(
        ablation={"multi_scale": False},
        start_from="m.safetensors",
        modality="fundus",
        **SMALL_FOR_ENLIGHTENGAN,
    )
    with pytest.raises(ConfigurationError) as caught:
        planned("VIII", given)
    where = [problem.where for problem in caught.value.problems]
    assert where[:3] == [
        "experiment.yaml: ablation",
        "experiment.yaml: start_from",
        "experiment.yaml: downstream.task",
    ]
    assert all(problem.remedy for problem in caught.value.problems)
    with pytest.raises(ConfigurationError, match="method"):
        planned(
            "III",
            experiment(method="stillgan", phases={"pretrain": NONE, "enhance": ROUND, "cooperate": ROUND}),
        )


def test_a_row_that_cannot_be_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        planned("III", experiment(**SMALL_FOR_ENLIGHTENGAN), "hqgnet", "enlightengan")
    (problem,) = caught.value.problems
    assert problem.where == "experiment.yaml, row enlightengan: image_size"
