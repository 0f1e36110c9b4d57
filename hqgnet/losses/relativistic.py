"""EnlightenGAN's game on whole images: relativistic, by least squares (arXiv 1906.06972, Section III-A)."""

from __future__ import annotations

from torch import Tensor

from hqgnet.losses.precision import full_precision
from hqgnet.ranks import gathered


def relativistic_loss(higher_logits: Tensor, lower_logits: Tensor) -> Tensor:
    """How far one kind of images is from being judged more real, by one, than the other on average.

    With D_Ra(a, b) = C(a) - E[C(b)] (arXiv 1807.00734): E[(D_Ra(h, l) - 1)^2] + E[D_Ra(l, h)^2]. The
    discriminator minimises it with HQ images as the higher, the generator with enhanced ones.

    Args:
        higher_logits: (B, 1, h, w) on the images that are to be judged more real.
        lower_logits: (B, 1, h, w) on the others.

    Returns:
        Scalar >= 0; 1 where all logits are equal.
    """
    higher, lower = full_precision(higher_logits), full_precision(lower_logits)
    # On average over the whole batch, whichever process holds its images.
    above = (higher - gathered(lower.mean()).mean() - 1.0).square().mean()
    below = (lower - gathered(higher.mean()).mean()).square().mean()
    return above + below
