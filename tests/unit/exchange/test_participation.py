"""Who takes part in what: a table over what sites have and what experiments want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hqgnet.config import Experiment, PhaseName
from hqgnet.exchange.groups import shared_groups
from hqgnet.exchange.participation import (
    cannot_judge,
    in_any_experiment,
    is_of_use,
    lacks,
    part_in,
)

PHASE = {"rounds": 1, "steps": 1}


@dataclass(frozen=True)
class Has:
    """A site."""

    has_hq: bool = True
    has_masks: bool = True
    has_grades: bool = False


RICH, POOR, UNLABELLED, GRADED = Has(), Has(has_hq=False), Has(has_masks=False), Has(True, False, True)


def experiment(*, bank: bool = False, **changes: Any) -> Experiment:
    pretrain = {"rounds": 0, "steps": 1} if changes.pop("without_pretraining", False) else PHASE
    given: dict[str, Any] = {
        "name": "trial",
        "modality": "fundus",
        "channels": 3,
        "preset": "tiny",
        "phases": {"pretrain": pretrain, "enhance": PHASE, "cooperate": PHASE},
        **changes,
    }
    given["federation"] = {"cue_bank": bank} | changes.get("federation", {})
    return Experiment.model_validate(given)


UNGUIDED: dict[str, Any] = {"ablation": {"guidance": "none"}, "without_pretraining": True}
L_CA = ("haar", "feature_consistency")


@pytest.mark.parametrize(
    ("site", "changes", "phase", "losses"),
    [
        (RICH, {}, "pretrain", ("reconstruction",)),
        (RICH, {}, "enhance", (*L_CA, "adversarial")),
        (RICH, {}, "cooperate", (*L_CA, "adversarial", "segmentation")),
        (POOR, {}, "pretrain", ("reconstruction",)),
        (POOR, {"ablation": {"pretraining": "hq"}}, "pretrain", ()),
        (POOR, {}, "enhance", ()),
        (POOR, {"bank": True}, "enhance", L_CA),
        (POOR, {"bank": True}, "cooperate", (*L_CA, "segmentation")),
        (
            POOR,
            {"bank": True, "federation": {"share_discriminator": True}},
            "enhance",
            (*L_CA, "adversarial"),
        ),
        (POOR, {"bank": True, "ablation": {"content_loss": "haar"}}, "enhance", ("haar",)),
        (POOR, {"bank": True, "ablation": {"content_loss": "none"}}, "enhance", ()),
        (POOR, UNGUIDED, "enhance", L_CA),
        (POOR, UNGUIDED, "cooperate", (*L_CA, "segmentation")),
        (POOR, {"method": "stillgan", "without_pretraining": True}, "enhance", ()),
        (UNLABELLED, {}, "cooperate", (*L_CA, "adversarial")),
        (UNLABELLED, {"federation": {"unlabelled_sites": "skip"}}, "cooperate", ()),
        (UNLABELLED, {"downstream": {"enhancer_trained_in_cooperate": False}}, "cooperate", ()),
        # Labels of another kind than the downstream network learns from.
        (GRADED, {}, "cooperate", (*L_CA, "adversarial")),
        (Has(False, False), {"bank": True}, "cooperate", L_CA),
        (POOR, {"downstream": {"enhancer_trained_in_cooperate": False}}, "cooperate", ()),
        (
            POOR,
            {"bank": True, "downstream": {"enhancer_trained_in_cooperate": False}},
            "cooperate",
            ("segmentation",),
        ),
        (
            POOR,
            {"downstream": {"enhancer_trained_in_cooperate": False, "sees": "original"}},
            "cooperate",
            ("segmentation",),
        ),
    ],
)
def test_a_site_trains_what_it_can(
    site: Has, changes: dict[str, Any], phase: PhaseName, losses: tuple[str, ...]
) -> None:
    part = part_in(phase, site, experiment(**changes))
    assert part.losses == losses and part.trains == bool(losses)
    assert part.trains or part.note
    if part.trains:
        # What it sends is what those losses reach.
        sent = shared_groups(phase, experiment(**changes), site.has_masks, site.has_hq)
        assert ("task" in sent) == ("segmentation" in losses)
        assert ("generator" in sent) == ("haar" in losses)
        if not site.has_hq and phase != "pretrain":
            assert not {"cue_extractor", "discriminator"} & set(sent)


@pytest.mark.parametrize("phase", ["enhance", "cooperate"])
def test_an_empty_bank_lends_nothing(phase: PhaseName) -> None:
    part = part_in(phase, POOR, experiment(bank=True), lent=False)
    assert (part.trains, part.note) == (False, "no HQ images, and the bank holds no cues")
    assert part_in(phase, RICH, experiment(bank=True), lent=False).trains
    assert part_in("pretrain", POOR, experiment(bank=True), lent=False).trains


def test_who_can_judge() -> None:
    on, off = experiment(bank=True), experiment()
    assert not cannot_judge(RICH, off) and not cannot_judge(POOR, on)
    assert cannot_judge(POOR, off) == "no HQ images, and federation.cue_bank is off"
    assert cannot_judge(POOR, on, lent=False) == "no HQ images, and the bank holds no cues"
    assert not cannot_judge(POOR, experiment(**UNGUIDED))


def test_who_is_of_no_use() -> None:
    assert is_of_use(POOR, experiment()) and is_of_use(POOR, experiment(bank=True))
    assert not is_of_use(POOR, experiment(without_pretraining=True))
    assert is_of_use(POOR, experiment(method="stillgan", without_pretraining=True))  # it judges


def test_what_is_said_of_a_site() -> None:
    assert lacks(RICH, experiment()) == ""
    assert lacks(UNLABELLED, experiment()) == "trains cooperate (no masks: the enhancer alone)"
    assert lacks(POOR, experiment(bank=True)) == (
        "trains pretrain (no HQ images: on LQ images alone); "
        "trains enhance (no HQ images: with cues of the bank, without L_GAN); "
        "trains cooperate (no HQ images: with cues of the bank, without L_GAN); "
        "judges models with the bank's mean cue"
    )
    told = lacks(POOR, experiment())
    assert "sits out enhance (no HQ images, and federation.cue_bank is off)" in told
    assert told.endswith("does not judge models (no HQ images, and federation.cue_bank is off)")
    skipped = lacks(UNLABELLED, experiment(federation={"unlabelled_sites": "skip"}))
    assert skipped == "sits out cooperate (no masks, and federation.unlabelled_sites is skip)"


def test_what_a_sites_own_check_says() -> None:
    assert in_any_experiment(RICH) == in_any_experiment(GRADED) == []
    told = in_any_experiment(Has(False, False))
    assert told[0].startswith("no HQ images") and told[1].startswith("no masks and no grades")
