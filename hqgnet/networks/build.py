"""All networks of an experiment, from its numbers."""

from __future__ import annotations

import torch
from torch import nn

from hqgnet.networks.autoencoder import AutoencoderDecoder
from hqgnet.networks.csnet import SegmentationNetwork
from hqgnet.networks.cue_extractor import CueExtractor
from hqgnet.networks.discriminator import Discriminator
from hqgnet.networks.generator import Generator
from hqgnet.presets import NetworkNumbers, OutputMode


class Networks(nn.Module):
    """The networks as parameter groups: names in ``state_dict`` begin with the group's name.

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
        output: Overrides the numbers' output mode.
    """

    def __init__(self, numbers: NetworkNumbers, channels: int, output: OutputMode | None = None) -> None:
        super().__init__()
        self.cue_extractor = CueExtractor(numbers, channels)
        self.generator = Generator(numbers, channels, output)
        self.discriminator = Discriminator(numbers, channels)
        self.task = SegmentationNetwork(numbers, channels)
        self.autoencoder_decoder = AutoencoderDecoder(numbers, channels)


def build_networks(
    numbers: NetworkNumbers, channels: int, *, output: OutputMode | None = None, seed: int | None = None
) -> Networks:
    """Build all networks with fresh weights.

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
        output: Overrides the numbers' output mode.
        seed: The weights depend on it alone, and the global random state is left as it was; ``None`` draws
            from the global random state.
    """
    if seed is None:
        return Networks(numbers, channels, output)
    with torch.random.fork_rng(devices=[]):
        # Only the processor's generator, from which weights are drawn, is seeded: it alone is put back.
        torch.default_generator.manual_seed(seed)
        return Networks(numbers, channels, output)
