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

    def load(self, phase: PhaseName, step: int) -> dict[str, Floats]:
        """Return what is left over when ``phase`` goes on at ``step``; nothing at its beginning.

        The newest file that is not ahead of ``step`` is taken. One that cannot be read, or holds something
        else than was written, counts as absent: what it held is lost, as it is without error feedback.
        """
        for next_step, file in self._generations.of(phase):
            if next_step <= step and (found := _read(file, phase, next_step)) is not None:
                return found
        return {}

    def save(self, phase: PhaseName, next_step: int, arrays: Mapping[str, Floats]) -> None:
        """Keep what is left over after a round.

        Raises:
            OutputError: If it cannot be written; what was kept before stays.
        """
        told = metadata(phase, next_step, digest_arrays(arrays))
        self._generations.keep(phase, next_step, partial(write_arrays, arrays=arrays, told=told, mode=0o600))


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
