"""The network as it is exported: one image in, by choice with its guidance baked in."""

from __future__ import annotations

from torch import Tensor, nn

from hqgnet.export.description import ExportFormat, GuidanceInput, SizeRule
from hqgnet.inference.network import EnhancementNetwork, generator_stride
from hqgnet.networks import Networks, StillGanNetworks


class ExportedNetwork(nn.Module):
    """Enhances ``(1, C, H, W)`` images of sizes that need no padding.

    Args:
        networks: Trained; not changed.
        guidance: Baked in as a constant; None leaves it an input, or out where the method takes none.
        bfloat16: See :class:`hqgnet.inference.network.EnhancementNetwork`.
    """

    guidance: Tensor | None

    def __init__(self, networks: Networks, guidance: Tensor | None, *, bfloat16: bool = False) -> None:
        super().__init__()
        # Weights in plain order: the runtimes choose their own.
        self.network = EnhancementNetwork(networks, bfloat16=bfloat16, channels_last=False)
        self.register_buffer("guidance", guidance)
        self.eval()

    def forward(self, images: Tensor, guidance: Tensor | None = None) -> Tensor:
        """Return enhanced images (1, C, H, W) in [0, 1]."""
        enhanced: Tensor = self.network(images, guidance if self.guidance is None else self.guidance)
        return enhanced


def guidance_of_export(networks: Networks, *, baked: bool) -> GuidanceInput:
    """Return how the exported network comes by its guidance."""
    if not networks.guidance_size:
        return "none"
    return "baked" if baked else "input"


def size_rule(networks: Networks, size: tuple[int, int] | None, kind: ExportFormat) -> SizeRule:
    """Return which images the exported network takes.

    Args:
        networks: Give the stride.
        size: Height and width of a network for one size; None for any.
        kind: Format.
    """
    stride = generator_stride(networks)
    # StillGAN pads further where instance normalisation would see a single pixel; see its generator. A traced
    # program of open size rests on its coarsest features being larger than that.
    is_two = isinstance(networks, StillGanNetworks) or (kind == "torch-export" and size is None)
    smallest = (2 if is_two else 1) * stride
    height, width = size or (None, None)
    return SizeRule(multiple_of=stride, smallest=smallest, height=height, width=width)
