"""Phase one: the cue extractor learns to describe images, as the encoder of an autoencoder (Section III-A).

HQ and LQ images are reconstructed with MSE + SSIM; the decoder is dropped afterwards. The extractor's last
layer, which gives v_z, lies outside the autoencoder and is trained by the phases that follow.
"""

from __future__ import annotations

import itertools

import torch

from hqgnet.config import Experiment
from hqgnet.data.batches import UnpairedBatches
from hqgnet.losses import ReconstructionLoss
from hqgnet.networks import Networks, reconstruct
from hqgnet.training.optimizers import NamedAdam
from hqgnet.training.phase import Losses, autocast


class Pretrain:
    """Autoencoder training of the cue extractor's trunk.

    Args:
        networks: Of which ``cue_extractor`` and ``autoencoder_decoder`` are trained in place.
        experiment: Gives learning rate, momentum and precision.
        device: Where the networks are.
    """

    trained_groups: tuple[str, ...] = ("cue_extractor", "autoencoder_decoder")

    def __init__(self, networks: Networks, experiment: Experiment, device: torch.device) -> None:
        self._networks = networks
        self._device = device
        self._precision = experiment.training.precision
        self._loss = ReconstructionLoss()
        parameters = itertools.chain(
            networks.cue_extractor.trunk.named_parameters("trunk"),
            networks.autoencoder_decoder.named_parameters("decoder"),
        )
        adam = NamedAdam(parameters, experiment.training, experiment.learning_rate("pretrain"))
        self.optimizers = {"autoencoder": adam}

    def step(self, batches: UnpairedBatches, index: int) -> Losses:
        """Reconstruct one mixed batch of HQ and LQ images."""
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
