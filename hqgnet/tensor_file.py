"""Networks on disk: safetensors files, written in one step and without a second copy in memory.

Text first and file afterwards, as :func:`safetensors.torch.save` has it, takes twice the memory and several
times as long: a site of preset ``paper`` keeps half a gigabyte of private state after every round.

torch is loaded only where tensors are written: a hospital's daemon does without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as of_arrays

from hqgnet.exchange.arrays import Array
from hqgnet.files import write_by_name_atomically

if TYPE_CHECKING:
    from torch import Tensor


def why_closed(path: Path) -> str | None:
    """Return why a file that is there cannot be opened; None if it can be, or is not there.

    Of a file that this user may not read safetensors says that there is none.
    """
    try:
        with path.open("rb"):
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        return error.strerror or str(error)


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    told: Mapping[str, str] | None = None,
    *,
    mode: int | None = None,
) -> None:
    """Write tensors of any shapes and types.

    Args:
        path: Its folder must exist; a file of this name is replaced.
        tensors: By name; what is not on the processor or not contiguous is copied, as is what several names
            stand for: safetensors refuses numbers that share memory.
        told: What the file says of itself. Of several keys safetensors writes them in an order that changes
            from file to file: give one where equal content must make equal files.
        mode: Permissions; None leaves them to the process's umask.

    Raises:
        OutputError: If the file cannot be written; what stood there before is untouched.
    """
    from safetensors import torch as of_tensors

    plain: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        one = value.detach().cpu().contiguous()
        place = one.untyped_storage().data_ptr()
        plain[name] = one.clone() if place in places else one
        places.add(place)
    _write(path, lambda file: of_tensors.save_file(plain, file, dict(told or {})), mode)


def write_arrays(
    path: Path,
    arrays: Mapping[str, Array],
    told: Mapping[str, str] | None = None,
    *,
    mode: int | None = None,
) -> None:
    """Write arrays; else as :func:`write_tensors`."""
    # safetensors takes the bytes as they lie in memory, whatever the strides.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    _write(path, lambda file: of_arrays.save_file(plain, file, dict(told or {})), mode)


def _write(path: Path, write: Callable[[Path], None], mode: int | None) -> None:
    def fill(temporary: Path) -> None:
        try:
            write(temporary)
        except SafetensorError as error:
            # It has no error of its own for a disk that is full.
            raise OSError(str(error)) from error

    write_by_name_atomically(path, fill, mode=mode)
