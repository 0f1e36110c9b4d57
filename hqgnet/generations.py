"""What a site keeps on its own disk from round to round: a file a generation, the newest three of a phase.

A file is named by its phase and by the step with which the phase goes on. However often a server repeats a
round, or goes back to an older checkpoint, what the site had when that round began is there; and so is what
it had after its latest update that counted, however many have not since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from hqgnet.config import PHASES, PhaseName
from hqgnet.files import make_folder, remove_unfinished

GENERATIONS = 3
"""How many of a phase are kept."""


class Generations:
    """The safetensors files of one folder.

    Args:
        folder: Where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, phase: PhaseName) -> list[tuple[int, Path]]:
        """Return next step and file of what is kept of a phase, the newest first."""
        found = [
            (int(match[1]), file)
            for file in self._folder.glob(f"{phase}-*.safetensors")
            if (match := re.fullmatch(rf"{phase}-(\d{{8,}})\.safetensors", file.name))
        ]
        return sorted(found, reverse=True)

    def keep(
        self, phase: PhaseName, next_step: int, write: Callable[[Path], object], *, counted: int = 0
    ) -> None:
        """Let a file be written; drop what it makes superfluous.

        Files of steps and phases ahead of it are of an abandoned time line. Nothing is deleted before the new
        file is safe on disk.

        Args:
            phase: Of the file.
            next_step: Of the file.
            write: Writes the file of the name that it is given, in one step.
            counted: Next step of another file that stays, however old.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        make_folder(self._folder)
        write(self._folder / f"{phase}-{next_step:08d}.safetensors")
        kept = [step for step, _ in self.of(phase) if step <= next_step][:GENERATIONS]
        later = PHASES[PHASES.index(phase) + 1 :]
        abandoned = [file for name in later for _, file in self.of(name)]
        old = [file for step, file in self.of(phase) if step not in (*kept, counted)]
        for file in [*abandoned, *old]:
            file.unlink(missing_ok=True)
        remove_unfinished(self._folder)


def metadata(phase: PhaseName, next_step: int, sha256: str) -> dict[str, str]:
    """Return what a file says of itself, so that a reader can tell whether it holds what was written.

    Args:
        phase: Of the file.
        next_step: Of the file.
        sha256: Of all that it holds, in hex.
    """
    return {"state": json.dumps({"phase": phase, "next_step": next_step, "sha256": sha256})}
