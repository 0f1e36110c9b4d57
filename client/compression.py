"""Compression at the site's end: what came is unfolded before anybody looks at it, what leaves folded last.

Last means after clipping and noise: what compression does, and what error feedback carries over, is then made
of numbers that were fit to leave, and costs no privacy (post-processing).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.left_out import LeftOut
from client.message import Asked
from client.refusals import RefusalError
from hqgnet.compression_config import CompressionConfig
from hqgnet.data.site_policy import SitePolicy
from hqgnet.exchange.arrays import Array, ArrayError, Arrays
from hqgnet.exchange.compression.feedback import compress_update
from hqgnet.exchange.compression.message import COMPRESSED, decompress
from hqgnet.exchange.update import MalformedMessageError, SiteError, TrainRequest

# Parameters of a network fold to an eighth at most, control variates that are still zero to nothing.
_MOST_UNFOLDED = 64
_SMALL = 2**20
_LARGEST = 8 * 2**30


@dataclass(frozen=True)
class Leaving:
    """An update as it leaves.

    Attributes:
        carried: What the message holds: one array of bytes.
        arrays: What the server makes of it.
        facts: For the site's audit.
    """

    carried: Arrays
    arrays: Arrays
    facts: dict[str, Any]


def unfolded(asked: Asked, settings: CompressionConfig, *, frozen: bool) -> Asked:
    """Return a request to train with its arrays as they are meant; frozen ones come as they are.

    A message may not unfold to more than 64 times its bytes, nor to more than 8 GiB: this process does not
    know the networks. Whether names, shapes and types are the right ones is checked by the one that does.

    Args:
        asked: Without cues.
        settings: The experiment's.
        frozen: Whether the request names frozen parameters, which may stand beside the compressed ones.

    Raises:
        MalformedMessageError: If they are of another form than the experiment says.
    """
    if not settings.is_down:
        return asked
    packed = asked.arrays.get(COMPRESSED)
    beside = {name: array for name, array in asked.arrays.items() if name != COMPRESSED}
    if packed is None or (beside and not frozen):
        raise MalformedMessageError("the parameters are not compressed")
    largest = min(_LARGEST, _MOST_UNFOLDED * packed.nbytes + _SMALL)
    arrays = decompress(packed, None, None, largest)
    if not arrays.keys().isdisjoint(beside):
        raise MalformedMessageError("an array came twice")
    return replace(asked, arrays=arrays | beside)


def folded(
    arrays: Arrays,
    received: Arrays,
    request: TrainRequest,
    settings: CompressionConfig,
    run_folder: Path,
    policy: SitePolicy,
) -> Leaving:
    """Return an update compressed; what that leaves out is safe on disk for the next round.

    What was left out of updates without noise never goes with one that has noise, nor the other way round.

    Args:
        arrays: The update as it may leave.
        received: What came.
        request: Says which round this is.
        settings: How to compress.
        run_folder: The run's private folder.
        policy: Its clip norm holds for what leaves too; under noise it has done its work before.

    Raises:
        RefusalError: If the update has moved so far that it has no finite difference.
        OutputError: If what is left out cannot be written.
    """
    # Beside what training goes on with: it is deleted with that when the run is over.
    kept = LeftOut(run_folder / "state" / ("left-out" if policy.noise is None else "left-out-under-noise"))
    left_out = kept.load(request.phase, request.counted_step) if settings.has_feedback else {}
    limit = policy.clip_norm if policy.noise is None else None
    try:
        update = compress_update(arrays, received, left_out, settings, limit)
    except ArrayError as error:
        raise RefusalError(SiteError.DIVERGED, str(error)) from error
    if settings.has_feedback:
        next_step, counted = request.first_step + request.steps, request.counted_step
        kept.save(request.phase, next_step, update.left_out, counted=counted)
    facts = {
        "codec": update.form,
        "bytes": update.packed.nbytes,
        "payload": hashlib.sha256(update.packed.data).hexdigest(),
    }
    packed: Array = update.packed  # type: ignore[assignment]  # bytes stand in the place of arrays
    return Leaving({COMPRESSED: packed}, update.decoded, facts)
