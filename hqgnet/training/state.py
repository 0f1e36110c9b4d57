"""A site's private training state on its own disk: written atomically, read without unpickling.

One safetensors file a phase holds the discriminator and the optimisers' moments after the last round; the one
before is kept, so that a server which repeats a round finds the state from which that round began.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hqgnet.config import PHASES, PhaseName
from hqgnet.files import write_atomically

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
        self._folder = folder

    def save(self, phase: PhaseName, next_step: int, tensors: Mapping[str, Tensor]) -> None:
        """Replace the state of ``phase``; the one that it replaces is kept as the previous one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        current, previous = self._files(phase)
        metadata = {"state": json.dumps({"phase": phase, "next_step": next_step})}
        data = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
        if current.exists():
            os.replace(current, previous)
        write_atomically(current, data)

    def load(self, phase: PhaseName, step: int) -> Stored | None:
        """Return the state with which ``phase`` goes on at ``step``.

        The newest state that is not ahead of ``step`` is taken. A phase begins with the private networks of
        the one before (the discriminator, say) and with fresh optimisers. Files that cannot be read, as after
        a disk fault, count as absent.
        """
        for file in self._files(phase):
            stored = _read(file)
            if stored is not None and stored.next_step <= step:
                return stored
        earlier = PHASES[: PHASES.index(phase)]
        for name in reversed(earlier):
            for file in self._files(name):
                stored = _read(file)
                if stored is not None:
                    carried = {
                        key: value for key, value in stored.tensors.items() if key.startswith(_CARRIED)
                    }
                    return Stored(0, carried) if carried else None
        return None

    def _files(self, phase: PhaseName) -> tuple[Path, Path]:
        return self._folder / f"{phase}.safetensors", self._folder / f"{phase}.previous.safetensors"


def _read(file: Path) -> Stored | None:
    try:
        with safe_open(file, framework="pt") as opened:
            header = json.loads((opened.metadata() or {})["state"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return Stored(int(header["next_step"]), tensors)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
