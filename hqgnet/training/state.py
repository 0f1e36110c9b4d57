"""A site's private training state on its own disk: written atomically, read without unpickling.

One safetensors file a generation, named by its phase and by the step with which training goes on, holds the
discriminator and the optimisers' moments. The newest three of a phase are kept: however often a server
repeats a round, or goes back to an older checkpoint, the state from which that round began is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hqgnet.config import PHASES, PhaseName
from hqgnet.files import remove_unfinished, write_atomically

_CARRIED = "networks."
_GENERATIONS = 3


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
        self._folder = folder

    def save(self, phase: PhaseName, next_step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep a state of ``phase``; those of steps and phases ahead of it are of an abandoned time line.

        Nothing is deleted before the new state is safe on disk.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        contiguous = {name: value.contiguous() for name, value in tensors.items()}
        header = {"phase": phase, "next_step": next_step, "sha256": _digest(contiguous)}
        path = self._folder / f"{phase}-{next_step:08d}.safetensors"
        write_atomically(path, save(contiguous, {"state": json.dumps(header)}))
        kept = [step for step, _ in self._generations(phase) if step <= next_step][:_GENERATIONS]
        later = PHASES[PHASES.index(phase) + 1 :]
        abandoned = [file for name in later for _, file in self._generations(name)]
        old = [file for step, file in self._generations(phase) if step not in kept]
        for file in [*abandoned, *old]:
            file.unlink(missing_ok=True)
        remove_unfinished(self._folder)

    def load(self, phase: PhaseName, step: int) -> Stored | None:
        """Return the state with which ``phase`` goes on at ``step``.

        The newest state that is not ahead of ``step`` is taken. A phase begins with the private networks of
        the one before (the discriminator, say) and with fresh optimisers. Files that cannot be read, or
        hold something else than was written, as after a disk fault, count as absent.
        """
        for next_step, file in self._generations(phase):
            if next_step <= step and (stored := _read(file, phase, next_step)) is not None:
                return stored
        for name in reversed(PHASES[: PHASES.index(phase)]):
            for next_step, file in self._generations(name):
                stored = _read(file, name, next_step)
                if stored is not None:
                    carried = {
                        key: value for key, value in stored.tensors.items() if key.startswith(_CARRIED)
                    }
                    return Stored(0, carried) if carried else None
        return None

    def _generations(self, phase: PhaseName) -> Iterator[tuple[int, Path]]:
        """Yield step and file of what is kept of a phase, the newest first."""
        found = [
            (int(match[1]), file)
            for file in self._folder.glob(f"{phase}-*.safetensors")
            if (match := re.fullmatch(rf"{phase}-(\d{{8,}})\.safetensors", file.name))
        ]
        yield from sorted(found, reverse=True)


def _read(file: Path, phase: PhaseName, next_step: int) -> Stored | None:
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})["state"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if header != {"phase": phase, "next_step": next_step, "sha256": _digest(tensors)}:
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
