"""What a lossy codec does with the numbers of one array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hqgnet.exchange.compression.schema import BFloat16, Float16, Int8, TopK
from hqgnet.exchange.compression.storage import Layout, Part

Floats = NDArray[np.float32]
Lossy = TypeVar("Lossy", Float16, BFloat16, Int8, TopK)
# Numbers worked on at a time: they stay in the processor's cache, whatever passes over them there are.
BLOCK = 65_536


class Codec(ABC, Generic[Lossy]):
    """Turns float32 numbers into fewer bytes, and back into nearly the same numbers."""

    @abstractmethod
    def encode(self, numbers: Floats, shape: tuple[int, ...]) -> tuple[dict[str, Any], list[Part]]:
        """Return what the schema must say beside name and shape, and the parts to be stored.

        Args:
            numbers: ``(N,)``, finite; left as they are.
            shape: Of the array that they are of.
        """

    @abstractmethod
    def layout(self, entry: Lossy) -> Layout:
        """Return type and length of the parts.

        Raises:
            MalformedMessageError: If the schema says what cannot be of such an array.
        """

    @abstractmethod
    def decode(self, entry: Lossy, parts: list[Part], out: Floats) -> None:
        """Fill ``out``, ``(N,)``, with the numbers.

        Args:
            entry: From a peer that is not trusted; its layout has been checked.
            parts: As laid out.
            out: Where they belong.

        Raises:
            MalformedMessageError: If the parts hold what cannot be.
        """

    @abstractmethod
    def most_bytes(self, shape: tuple[int, ...]) -> int:
        """Return how many bytes the parts of an array of this shape take at most."""
