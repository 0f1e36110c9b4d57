"""What compression has left out of a site's updates so far, on the site's own disk, until it is sent.

Kept as :mod:`hqgnet.training.state` keeps what training goes on with: a file a generation, named by phase and
by the step with which the phase goes on, the newest three of a phase, written atomically and read without
unpickling. The hospital's own process keeps it, which compresses after clipping and noise, and has no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hqgnet.config import PHASES, PhaseName
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.compression.codec import Floats
from hqgnet.files import make_folder, remove_unfinished, write_atomically

_GENERATIONS = 3


class LeftOut:
    """What is still to be sent of one site's updates in one run.

    Args:
        folder: Where to keep it; made when first written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, phase: PhaseName, step: int) -> dict[str, Floats]:
        """Return what is left over when ``phase`` goes on at ``step``; nothing at its beginning.

        The newest file that is not ahead of ``step`` is taken. One that cannot be read, or holds something
        else than was written, counts as absent: what it held is lost, as it is without error feedback.
        """
        for next_step, file in self._generations(phase):
            if next_step <= step and (found := _read(file, phase, next_step)) is not None:
                return found
        return {}

    def save(self, phase: PhaseName, next_step: int, arrays: Mapping[str, Floats]) -> None:
        """Keep what is left over after a round; that of steps and phases ahead is of an abandoned time line.

        Nothing is deleted before the new file is safe on disk.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        make_folder(self._folder)
        header = {"phase": phase, "next_step": next_step, "sha256": digest_arrays(arrays)}
        path = self._folder / f"{phase}-{next_step:08d}.safetensors"
        write_atomically(path, save(dict(arrays), {"state": json.dumps(header)}), mode=0o600)
        kept = [step for step, _ in self._generations(phase) if step <= next_step][:_GENERATIONS]
        later = PHASES[PHASES.index(phase) + 1 :]
        abandoned = [file for name in later for _, file in self._generations(name)]
        old = [file for step, file in self._generations(phase) if step not in kept]
        for file in [*abandoned, *old]:
            file.unlink(missing_ok=True)
        remove_unfinished(self._folder)

    def _generations(self, phase: PhaseName) -> list[tuple[int, Path]]:
        """Return step and file of what is kept of a phase, the newest first."""
        found = [
            (int(match[1]), file)
            for file in self._folder.glob(f"{phase}-*.safetensors")
            if (match := re.fullmatch(rf"{phase}-(\d{{8,}})\.safetensors", file.name))
        ]
        return sorted(found, reverse=True)


def _read(file: Path, phase: PhaseName, next_step: int) -> dict[str, Floats] | None:
    try:
        with safe_open(file, framework="np") as opened:
            header = json.loads((opened.metadata() or {})["state"])
            arrays: Arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if header != {"phase": phase, "next_step": next_step, "sha256": digest_arrays(arrays)}:
            return None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return {name: array.astype("float32", copy=False) for name, array in arrays.items()}
