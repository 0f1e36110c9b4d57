"""How many images stand behind an update: what ``policy.minimum_images`` is held against."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from client.actions import act
from client.governor import Governor
from client.message import Answered, Asked
from client.round_images import images_of_round
from client.site import forget_sites
from hqgnet.config import Experiment, PhaseName
from hqgnet.data.site_data import SiteData
from hqgnet.exchange.update import SiteError
from tests.train_requests import train_request
from tests.unit.client.recorded_site import Recorded, SiteWith, bare, refusal
from tests.unit.training.systems import edited


@pytest.mark.parametrize(("usable", "drawn"), product((1, 2, 3), (1, 2, 3, 4, 5, 6)))
def test_no_round_uses_fewer_lq_images_wherever_it_begins(
    usable: int, drawn: int, tiny_experiment: Experiment
) -> None:
    experiment = edited(tiny_experiment, training={"batch_size": 1})
    sure, _ = images_of_round("enhance", drawn, (usable, 9), experiment)
    # As batches are drawn: a new order each epoch. A server chooses the seed, and where the round begins.
    epochs = product(permutations(range(usable)), repeat=-(-(usable - 1 + drawn) // usable))
    rows = [[image for epoch in some for image in epoch] for some in epochs]
    least = min(len(set(row[first : first + drawn])) for row in rows for first in range(usable))
    assert sure == least


@pytest.mark.parametrize(
    ("phase", "steps", "counts", "expected"),
    [
        ("enhance", 25, (30, 40), (30, 40)),
        ("enhance", 1, (30, 40), (2, 2)),
        ("enhance", 8, (30, 9), (16, 9)),
        ("enhance", 25, (30, 0), (30, 0)),
        ("cooperate", 25, (3, 40), (3, 40)),
        # Half of each batch is of either kind; at a site without HQ images all of it is LQ.
        ("pretrain", 20, (30, 40), (20, 20)),
        ("pretrain", 20, (50, 0), (40, 0)),
    ],
)
def test_what_a_round_is_sure_of(
    phase: PhaseName,
    steps: int,
    counts: tuple[int, int],
    expected: tuple[int, int],
    tiny_experiment: Experiment,
) -> None:
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    assert images_of_round(phase, steps, counts, experiment) == expected


def test_even_the_smallest_round_is_of_an_image(tiny_experiment: Experiment) -> None:
    experiment = edited(tiny_experiment, training={"batch_size": 1})
    for phase in ("pretrain", "enhance", "cooperate"):
        assert images_of_round(phase, 1, (8, 8), experiment) == (1, 1)  # type: ignore[arg-type]


def asking(requests: dict[str, Asked], experiment: Experiment, **fields: Any) -> Asked:
    request = train_request(experiment, phase="cooperate", **fields)
    return replace(requests["train"], text=request.to_json())


def test_a_server_cannot_pick_an_image(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_experiment: Experiment
) -> None:
    file = site_with(policy={"minimum_images": 2})  # there are 8
    alone = edited(tiny_experiment, training={"batch_size": 1})
    answered = Governor(file, "simulation").answer(asking(requests, alone, first_step=5, steps=1), site)
    assert bare(answered) == Answered(code=SiteError.POLICY_IMAGES)
    assert [asked.kind for asked in site.asked] == ["query"]
    reason = refusal(file)["reason"]
    assert "minimum_images" in reason and "1 steps" in reason
    # The server gets the entry's hash: it must not find out by trying how many images there are.
    assert "8" not in reason


def test_nor_by_cutting_the_round_short(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_experiment: Experiment
) -> None:
    file = site_with(policy={"minimum_images": 4})
    asked = asking(requests, tiny_experiment, steps=4, deadline_s=0.001)  # two images a step
    site.change("train", steps=1)
    assert bare(Governor(file, "simulation").answer(asked, site)) == Answered(code=SiteError.POLICY_IMAGES)
    assert [asked.kind for asked in site.asked] == ["query", "train"]
    site.change("train", steps=4)
    assert Governor(file, "simulation").answer(asked, site).code is None


def test_images_without_a_mask_do_not_count_where_masks_are_learned(
    site_with: SiteWith, tiny_sites: list[SiteData], tiny_experiment: Experiment, tmp_path: Path
) -> None:
    images = {name: str(folder) for name, folder in tiny_sites[0].config.images if folder is not None}
    (tmp_path / "masks").mkdir()
    for sample in tiny_sites[0].lq["train"][:3]:
        assert sample.mask is not None
        shutil.copy(sample.mask, tmp_path / "masks")
    file = site_with(images=images | {"masks": str(tmp_path / "masks")}, policy={"minimum_images": 4})
    forget_sites()

    def answer(phase: PhaseName) -> Answered:
        request = train_request(tiny_experiment, phase=phase, steps=8)
        # Nothing travels beside it: whoever gets to work finds that the parameters do not fit.
        asked = Asked("train", request.to_json())
        return Governor(file, "simulation").answer(asked, lambda asked: act(asked, file))

    assert answer("cooperate").code is SiteError.POLICY_IMAGES
    assert "minimum_images" in (file.parent / "work/run-1/site.log").read_text()
    assert answer("enhance").code is SiteError.PARAMETERS
    site_with(images=images, policy={"minimum_images": 4})
    assert answer("cooperate").code is SiteError.PARAMETERS


def test_nor_those_without_a_grade_where_grades_are_learned(
    site_with: SiteWith, tiny_sites: list[SiteData], tiny_experiment: Experiment
) -> None:
    images = {name: str(folder) for name, folder in tiny_sites[0].config.images if folder is not None}
    grading = {"network": "tests.unit.ablation.graders:Plain", "task": "grading"}
    policy = {"minimum_images": 4, "networks": [grading["network"]]}
    file = site_with(images=images | {"grades": "grades.csv"}, policy=policy)
    train = tiny_sites[0].lq["train"]
    lines = [f"{sample.path},{1 if index < 3 else ''}" for index, sample in enumerate(train)]
    (file.parent / "grades.csv").write_text("\n".join(["file,grade", *lines]) + "\n")
    forget_sites()
    for downstream, code in ((grading, SiteError.POLICY_IMAGES), ({}, SiteError.PARAMETERS)):
        experiment = edited(tiny_experiment, downstream=downstream)
        request = train_request(experiment, phase="cooperate", steps=8)
        answered = Governor(file, "simulation").answer(
            Asked("train", request.to_json()), lambda asked: act(asked, file)
        )
        assert answered.code is code, json.dumps(downstream)
