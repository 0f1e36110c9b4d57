"""Where guidance comes from when a model is used: an image, a site's HQ images, or the cue stored with the
model.

The paper's test phase takes one HQ image of the test set for all LQ images (Section IV); its Table Vc shows
that a vector of 64 numbers hardly depends on which. The cue that is stored with a federated model is the mean
of v_z over the HQ training images of the sites that allow it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hqgnet.data.reading import read_image
from hqgnet.data.site_data import SiteData
from hqgnet.data.transforms import resize_longer_side
from hqgnet.networks import CueExtractor


@torch.inference_mode()
def image_guidance(
    cue_extractor: CueExtractor, image: Tensor, image_size: int, device: torch.device
) -> Tensor:
    """Return v_z of one HQ image ``(C, H, W)`` in [0, 1], as ``(1, 64)``."""
    cue_extractor.eval()
    resized = resize_longer_side(image, image_size).unsqueeze(0).to(device)
    vector: Tensor = cue_extractor(resized).float()
    return vector


def site_guidance(
    cue_extractor: CueExtractor, data: SiteData, image_size: int, device: torch.device
) -> Tensor:
    """Return v_z ``(1, 64)`` of the site's fixed guide: its first HQ test image, else training image."""
    guide = (data.hq["test"] or data.hq["train"])[0]
    return image_guidance(cue_extractor, read_image(guide.path, data.config.channels), image_size, device)


def mean_guidance(
    cue_extractor: CueExtractor, data: Sequence[SiteData], image_size: int, device: torch.device
) -> tuple[Tensor, int]:
    """Return the mean of v_z over the sites' HQ training images, ``(64,)``, and how many images that is."""
    vectors = [
        image_guidance(cue_extractor, read_image(sample.path, site.config.channels), image_size, device)
        for site in data
        for sample in site.hq["train"]
    ]
    return torch.cat(vectors).double().mean(dim=0).float().cpu(), len(vectors)
