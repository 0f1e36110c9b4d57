"""How many images stand behind one round of training: what ``policy.minimum_images`` is held against."""

from __future__ import annotations

from hqgnet.config import Experiment, PhaseName


def images_of_round(
    phase: PhaseName, steps: int, usable: tuple[int, int], experiment: Experiment
) -> tuple[int, int]:
    """Return how many different LQ and HQ images a round is sure to use.

    LQ images come in a new order each epoch. A server chooses that order (the experiment's seed) and where a
    round begins: the last images of one epoch can be the first of the next. Of those that are drawn, half are
    different in any case, and all that there are from two epochs on. HQ images are drawn anew at each step
    but in ``pretrain``, so that for them the same number is usual and not sure.

    Args:
        phase: Which.
        steps: Of the round.
        usable: LQ and HQ images that the site can train on in the phase.
        experiment: Gives the batch size, and what is pretrained on.
    """
    drawn = steps * experiment.training.batch_size
    lq, hq = usable
    if phase == "pretrain" and hq and experiment.ablation.pretraining == "hq_and_lq":
        drawn = max(1, drawn // 2)  # an image alone is of one kind, and nothing of the other is in the update
    different = (drawn + 1) // 2
    return min(lq, different), min(hq, different)
