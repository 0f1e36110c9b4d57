"""The networks of HQG-Net (Section III-A) and the segmentor that trains with them."""

from __future__ import annotations

from hqgnet.networks.autoencoder import AutoencoderDecoder, reconstruct
from hqgnet.networks.build import (
    ClassicalNetworks,
    EnlightenGanNetworks,
    HqgNetworks,
    Networks,
    StillGanNetworks,
    build_networks,
    networks_of,
)
from hqgnet.networks.csnet import CSNet, SegmentationNetwork
from hqgnet.networks.cue_extractor import CueExtractor
from hqgnet.networks.discriminator import Discriminator
from hqgnet.networks.generator import Encoded, Generator
from hqgnet.networks.normalization import VIN, AdaLIN, frozen_statistics
from hqgnet.networks.padding import Padding, pad_to_multiple

__all__ = [
    "VIN",
    "AdaLIN",
    "AutoencoderDecoder",
    "CSNet",
    "ClassicalNetworks",
    "CueExtractor",
    "Discriminator",
    "Encoded",
    "EnlightenGanNetworks",
    "Generator",
    "HqgNetworks",
    "Networks",
    "Padding",
    "SegmentationNetwork",
    "StillGanNetworks",
    "build_networks",
    "frozen_statistics",
    "networks_of",
    "pad_to_multiple",
    "reconstruct",
]
