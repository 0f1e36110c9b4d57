"""Where guidance comes from when a model is used: an image, a site's HQ images, or the cue stored with the
model.

The paper's test phase takes one HQ image of the test set for all LQ images (Section IV); its Table Vc shows
that a vector of 64 numbers hardly depends on which. The cue that is stored with a federated model is the mean
of v_z over the HQ training images of the sites that allow it, or of those that lend to a bank of cues.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hqgnet.config import Experiment
from hqgnet.data.reading import read_image
from hqgnet.data.site_data import SiteData
from hqgnet.data.site_files import Sample
from hqgnet.data.transforms import resize_longer_side
from hqgnet.errors import DataError, Problem
from hqgnet.method_config import GuidancePool
from hqgnet.networks import Networks

_POOL_SIZES: dict[GuidancePool, int | None] = {"one": 1, "ten": 10, "all": None}


@torch.inference_mode()
def image_guidance(networks: Networks, image: Tensor, image_size: int, device: torch.device) -> Tensor | None:
    """Return v_z of one HQ image ``(C, H, W)`` in [0, 1], as ``(1, 64)``; None if the method takes none."""
    networks.eval()
    guide = networks.describe(resize_longer_side(image, image_size).unsqueeze(0).to(device))
    return None if guide is None else guide.float()


def site_guidance(
    networks: Networks,
    data: SiteData,
    experiment: Experiment,
    device: torch.device,
    stored: Tensor | None = None,
) -> Tensor | None:
    """Return v_z ``(P, 64)`` of the site's fixed guides; None if the method takes none.

    They are its first HQ test images, or training images where it has no test images: P = 1, or more where
    ``ablation.guidance_pool`` says so. A site without HQ images is guided by the stored cue.

    Args:
        networks: Put in evaluation mode.
        data: The site.
        experiment: Gives the size of images and of the pool.
        device: Where the networks are.
        stored: v_z ``(1, 64)`` that came with the model.

    Raises:
        DataError: If there is neither an HQ image nor a stored cue.
    """
    if not networks.guidance_size:
        return None
    guides = (data.hq["test"] or data.hq["train"])[: _POOL_SIZES[experiment.ablation.guidance_pool]]
    if not guides:
        if stored is None:
            where, what = f"site {data.config.name}: images.hq", "there is no HQ image, and no cue is stored"
            remedy = "Name a folder of HQ images, or take a model of a run whose sites share or lend cues"
            raise DataError(Problem(where, what, remedy))
        return stored.to(device)
    return torch.cat(described_samples(networks, [(data, guides)], experiment.image_size, device))


def guidance_of(guides: Tensor | None, index: int) -> Tensor | None:
    """Return the guide ``(1, 64)`` of one LQ image, drawn from a pool by the image's number in its split.

    Args:
        guides: ``(P, 64)``, or None.
        index: From 0.
    """
    if guides is None or guides.shape[0] == 1:
        return guides
    generator = torch.Generator()
    generator.manual_seed(index)
    drawn = int(torch.randint(guides.shape[0], (), generator=generator))
    return guides[drawn : drawn + 1]


def mean_guidance(
    networks: Networks, data: Sequence[SiteData], image_size: int, device: torch.device
) -> tuple[Tensor | None, int]:
    """Return the mean of v_z over the sites' HQ training images, ``(64,)``, and how many images that is.

    None, of no image, if the method takes no guide or there is no HQ image.
    """
    vectors = described(networks, data, image_size, device)
    if not vectors:
        return None, 0
    return torch.cat(vectors).double().mean(dim=0).float().cpu(), len(vectors)


def described(
    networks: Networks, data: Sequence[SiteData], image_size: int, device: torch.device
) -> list[Tensor]:
    """Return v_z ``(1, 64)`` of each of the sites' HQ training images; none if the method takes no guide."""
    return described_samples(networks, [(site, site.hq["train"]) for site in data], image_size, device)


def described_samples(
    networks: Networks,
    images: Sequence[tuple[SiteData, Sequence[Sample]]],
    image_size: int,
    device: torch.device,
) -> list[Tensor]:
    """Return v_z ``(1, 64)`` of each of some sites' images; none if the method takes no guide."""
    described = (
        image_guidance(networks, read_image(sample.path, site.config.channels), image_size, device)
        for site, samples in images
        for sample in samples
    )
    return [guide for guide in described if guide is not None]
