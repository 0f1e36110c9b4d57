"""The generated images that a discriminator remembers (arXiv 1612.07828)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hqgnet.training.draws import draws


class ImagePool:
    """Hands on new images, or earlier ones in their place.

    Until the pool is full every image is kept and handed on. After that, each is by even chance handed on
    itself, or takes the place of an earlier one, drawn at random, which is handed on.

    The images are made of the site's own: they never leave it, and the pool is bounded. They are kept in half
    precision, finer than the images' own eight bits.

    Args:
        size: Images that are kept; 0 hands all on.
        seed: The experiment's.
        purpose: Tells pools of one site apart.
    """

    def __init__(self, size: int, seed: int, purpose: str) -> None:
        self._size = size
        self._seed = seed
        self._purpose = purpose
        self._images: list[Tensor] = []

    def exchange(self, images: Tensor, step: int) -> Tensor:
        """Return as many images as are given, (B, C, H, W), detached; some may be from earlier steps.

        Args:
            images: New ones.
            step: Of the phase; decides which.
        """
        generator = draws(self._seed, self._purpose, step)
        return torch.stack([self._one(image, generator) for image in images.detach()])

    def state(self) -> dict[str, Tensor]:
        """Return the images, oldest place first, as one tensor; nothing if there are none."""
        return {"images": torch.stack(self._images)} if self._images else {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned; an empty mapping empties the pool."""
        images = tensors.get("images")
        self._images = [] if images is None else list(images[: self._size].to(torch.float16).clone())

    def _one(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if len(self._images) < self._size:
            self._images.append(image.to(torch.float16).cpu())
            return image
        if not self._size or float(torch.rand((), generator=generator)) < 0.5:
            return image
        place = int(torch.randint(len(self._images), (), generator=generator))
        earlier, self._images[place] = self._images[place], image.to(torch.float16).cpu()
        return earlier.to(image)
