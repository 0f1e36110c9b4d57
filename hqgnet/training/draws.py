"""Random numbers of a training step as a pure function of seed, purpose and step."""

from __future__ import annotations

import hashlib

import torch


def draws(seed: int, purpose: str, step: int) -> torch.Generator:
    """Return a generator for one purpose in one step: a resumed run draws what the unbroken one does.

    Args:
        seed: The experiment's.
        purpose: Names what is drawn.
        step: Of the phase, from 0.
    """
    digest = hashlib.sha256(f"{seed}:{purpose}:{step}".encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:7], "little"))
    return generator
