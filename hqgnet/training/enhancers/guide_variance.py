"""L_InterVar and L_IntraVar: guides that are to vary little (Eq. 19 and 20, Table V b)."""

from __future__ import annotations

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.data.batches import Batch
from hqgnet.losses import gram_distance
from hqgnet.networks import HqgNetworks, frozen_statistics
from hqgnet.ranks import gathered, own_share
from hqgnet.training.draws import draws
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Losses


class GuideVariance:
    """Adds both constraints to an objective, where the experiment weighs them.

    Different images (Eq. 19) are each image of a batch and the next. A view of an image (Eq. 20) is the image
    turned by 0, 90, 180 or 270 degrees and perhaps flipped, one turn and flip a batch.

    Args:
        networks: Of which ``cue_extractor`` describes the views.
        experiment: Gives the weights and the seed.
        device: Where the networks are.
    """

    def __init__(self, networks: HqgNetworks, experiment: Experiment, device: torch.device) -> None:
        self._networks = networks
        self._inter = experiment.ablation.inter_variance
        self._intra = experiment.ablation.intra_variance
        self._seed = experiment.seed
        self._device = device
        self._precision = experiment.training.precision

    def add_to(self, objective: Tensor, batch: Batch, guidance: Tensor, step: int) -> tuple[Tensor, Losses]:
        """Return the objective with the constraints, and what they are.

        Args:
            objective: L_e.
            batch: Whose HQ images guide.
            guidance: Their guides, ``(B, D)``, with the gradient.
            step: Of the phase; decides the views.
        """
        parts: Losses = {}
        if self._inter:
            # The next image may be in another process's share.
            following = own_share(gathered(guidance).flatten(0, 1).roll(1, dims=0))
            inter = gram_distance(guidance, following)
            objective, parts["inter_variance"] = objective + self._inter * inter, inter.detach()
        if self._intra:
            intra = gram_distance(guidance, self._of_other_view(batch.hq, step))
            objective, parts["intra_variance"] = objective + self._intra * intra, intra.detach()
        return objective, parts

    def _of_other_view(self, images: Tensor, step: int) -> Tensor:
        generator = draws(self._seed, "views", step)
        turns = int(torch.randint(4, (), generator=generator))
        flip = bool(torch.randint(2, (), generator=generator))
        view = torch.rot90(images, turns, dims=(2, 3))
        view = view.flip(3) if flip else view
        with autocast(self._device, self._precision), frozen_statistics(self._networks):
            described = self._networks.describe(view)
        if described is None:
            raise ValueError("no HQ image guides")
        return described.float()
