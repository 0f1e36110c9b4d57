"""What nobody trains in a phase: it comes once, and the site keeps it on its disk for the later rounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from client.refusals import RefusalError
from hqgnet.exchange.arrays import Arrays, digest_arrays
from hqgnet.exchange.update import SiteError
from hqgnet.files import make_folder
from hqgnet.tensor_file import write_arrays

FILE = "frozen.safetensors"


def with_frozen(arrays: Arrays, names: Sequence[str], digest: str | None, folder: Path) -> Arrays:
    """Return what came together with the frozen parameters, which are kept if they came with it.

    Args:
        arrays: What came; of ``names`` all or none.
        names: Of the phase's frozen parameters.
        digest: Theirs, as the server says.
        folder: Of the run's private state; deleted with that when the run is over.

    Raises:
        RefusalError: If they are others than the server says, or did not come and are not there (any more).
        OutputError: If they cannot be written.
    """
    if (digest is None) == bool(names):
        raise RefusalError(SiteError.PARAMETERS, "the server takes other parameters for frozen than the site")
    if digest is None:
        return arrays
    came = {name: arrays[name] for name in names if name in arrays}
    if not came:
        return arrays | _kept(folder / FILE, digest)
    if digest_arrays(came) != digest:
        raise RefusalError(SiteError.PARAMETERS, "other frozen parameters came than the request names")
    make_folder(folder)
    write_arrays(folder / FILE, came, mode=0o600)
    return arrays


def _kept(file: Path, digest: str) -> Arrays:
    """Read what came earlier; a file that is damaged, or of another phase, counts as absent."""
    try:
        with safe_open(file, framework="np") as opened:
            arrays: Arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if digest_arrays(arrays) == digest:
            return arrays
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        pass
    raise RefusalError(SiteError.FROZEN, "frozen parameters did not come, and are not on the site's disk")
