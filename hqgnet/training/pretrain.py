"""Phase one: the cue extractor learns to describe images, as the encoder of an autoencoder (Section III-A).

HQ and LQ images are reconstructed with MSE + SSIM; the decoder is dropped afterwards. The extractor's last
layer, which gives v_z, lies outside the autoencoder and is trained by the phases that follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.losses import ReconstructionLoss
from hqgnet.networks import EnlightenGanNetworks, HqgNetworks, Networks, reconstruct
from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.phase import autocast
from hqgnet.training.protocols import Batches, Losses


class Pretrain:
    """Autoencoder training of the cue extractor's trunk.

    Args:
        networks: Of which ``cue_extractor`` and ``autoencoder_decoder`` are trained in place.
        experiment: Gives learning rate, momentum, precision, and on which images (Fig. 7).
        device: Where the networks are.

    Raises:
        TypeError: The networks have no cue extractor.
    """

    def __init__(self, networks: Networks, experiment: Experiment, device: torch.device) -> None:
        if not isinstance(networks, HqgNetworks | EnlightenGanNetworks):
            raise TypeError(f"{type(networks).__name__} has nothing to pretrain")
        self._networks = networks
        self._device = device
        self._precision = experiment.training.precision
        self._hq_alone = experiment.ablation.pretraining == "hq"
        self._loss = ReconstructionLoss()
        # A later phase may have frozen it.
        networks.cue_extractor.trunk.requires_grad_(True)
        parameters = itertools.chain(
            networks.cue_extractor.trunk.named_parameters("trunk"),
            networks.autoencoder_decoder.named_parameters("decoder"),
        )
        adam = NamedAdam(parameters, experiment.training, experiment.learning_rate("pretrain"))
        self.optimizers = {"autoencoder": adam}

    def step(self, batches: Batches, index: int) -> Losses:
        """Reconstruct one batch, half HQ and half LQ images, or HQ images alone."""
        if self._hq_alone:
            images = batches.batch("pretrain", index).hq.to(self._device)
        else:
            images = batches.pretraining_batch(index).to(self._device)
        networks = self._networks.train()
        with autocast(self._device, self._precision):
            restored = reconstruct(networks.cue_extractor, networks.autoencoder_decoder, images)
        loss = self._loss(restored, images)
        adam = self.optimizers["autoencoder"]
        adam.zero_grad()
        loss.backward()
        adam.step()
        return {"reconstruction": loss.detach()}

    def private_tensors(self) -> dict[str, Tensor]:
        """Return nothing: parameters and moments are all."""
        return {}

    def load_private_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore nothing."""
