"""A site's private training state on its own disk: written atomically, read without unpickling.

A safetensors file holds the discriminator and the optimisers' moments; which files are kept, and why, is told
in :mod:`hqgnet.generations`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from hqgnet.config import PHASES, PhaseName
from hqgnet.generations import Generations, metadata
from hqgnet.tensor_file import write_tensors

_CARRIED = "networks."


@dataclass(frozen=True)
class Stored:
    """Private state as found on disk.

    Attributes:
        next_step: Step of the phase with which training goes on.
        tensors: See :meth:`hqgnet.training.local.LocalTrainer.private_state`.
    """

    next_step: int
    tensors: dict[str, Tensor]


class PrivateState:
    """The private state of one site in one run.

    Args:
        folder: Where to keep it; made when first written.
    """

    def __init__(self, folder: Path) -> None:
        self._generations = Generations(folder)

    def save(
        self, phase: PhaseName, next_step: int, tensors: Mapping[str, Tensor], *, counted: int = 0
    ) -> None:
        """Keep a state of ``phase``, and the one at step ``counted``.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        plain = {name: value.contiguous() for name, value in tensors.items()}
        told = metadata(phase, next_step, _digest(plain))
        write = partial(write_tensors, tensors=plain, told=told, mode=0o600)
        self._generations.keep(phase, next_step, write, counted=counted)

    def load_at(self, phase: PhaseName, step: int) -> Stored | None:
        """Return the state that ``phase`` had at just this step; None if it is not there any more."""
        files = dict(self._generations.of(phase))
        return _read(files[step], phase, step) if step in files else None

    def load(self, phase: PhaseName, step: int) -> Stored | None:
        """Return the state with which ``phase`` goes on at ``step``.

        The newest state that is not ahead of ``step`` is taken. A phase begins with the private networks of
        the one before (the discriminator, say) and with fresh optimisers. Files that cannot be read, or
        hold something else than was written, as after a disk fault, count as absent.
        """
        for next_step, file in self._generations.of(phase):
            if next_step <= step and (stored := _read(file, phase, next_step)) is not None:
                return stored
        for name in reversed(PHASES[: PHASES.index(phase)]):
            for next_step, file in self._generations.of(name):
                stored = _read(file, name, next_step)
                if stored is not None:
                    carried = {
                        key: value for key, value in stored.tensors.items() if key.startswith(_CARRIED)
                    }
                    return Stored(0, carried) if carried else None
        return None


def _read(file: Path, phase: PhaseName, next_step: int) -> Stored | None:
    try:
        with safe_open(file, framework="pt") as opened:
            told = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if told != metadata(phase, next_step, _digest(tensors)):
            return None
        return Stored(next_step, tensors)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{len(name)}:{name}:{value.dtype}:{tuple(value.shape)}:".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
