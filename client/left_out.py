"""What compression has left out of a site's updates so far, on the site's own disk, until it is sent.

Kept as what training goes on with is (:mod:`hqgnet.generations`), and read without unpickling. The hospital's
own process keeps it, which compresses after clipping and noise, and has no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open

from hqgnet.config import PhaseName
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.compression.codec import Floats
from hqgnet.generations import Generations, metadata
from hqgnet.tensor_file import write_arrays


class LeftOut:
    """What is still to be sent of one site's updates in one run.

    Args:
        folder: Where to keep it; made when first written.
    """

    def __init__(self, folder: Path) -> None:
        self._generations = Generations(folder)

    def load(self, phase: PhaseName, counted: int) -> dict[str, Floats]:
        """Return what was left over after the round that ended at step ``counted``; nothing for step 0.

        No other file will do: what a later update held and left out did not reach the server if that update
        did not count, and an earlier one's has been sent since. A file that is not there, cannot be read, or
        holds something else than was written counts as empty: what it held is lost, as it is without error
        feedback.
        """
        files = dict(self._generations.of(phase))
        return (_read(files[counted], phase, counted) or {}) if counted in files else {}

    def save(
        self, phase: PhaseName, next_step: int, arrays: Mapping[str, Floats], *, counted: int = 0
    ) -> None:
        """Keep what is left over after a round, and what was at step ``counted``.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        told = metadata(phase, next_step, digest_arrays(arrays))
        write = partial(write_arrays, arrays=arrays, told=told, mode=0o600)
        self._generations.keep(phase, next_step, write, counted=counted)


def _read(file: Path, phase: PhaseName, next_step: int) -> dict[str, Floats] | None:
    try:
        with safe_open(file, framework="np") as opened:
            told = opened.metadata()
            arrays: Arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if told != metadata(phase, next_step, digest_arrays(arrays)):
            return None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return {name: array.astype("float32", copy=False) for name, array in arrays.items()}
