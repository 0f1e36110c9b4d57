"""A further process of a site's training: ``python -m hqgnet.training.parallel.rank PLACE``.

It is started by :mod:`hqgnet.training.parallel.team`, takes its weights and images from there, computes the
gradients of its share of each batch, and ends with its parent. It keeps nothing, reads no file of the site
and writes none; what it says goes to the site's log.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

OUT_OF_MEMORY = 12
"""Exit code of a process for whose images the memory did not suffice."""
READY = "ready"


@dataclass(frozen=True)
class Place:
    """Where and as what such a process works.

    Attributes:
        rank: From 1.
        count: Processes, the first included.
        device: On which it computes.
        store: File through which they meet.
        patience_s: How long one waits for another.
        threads: For torch.
        memory_fraction: Of a GPU's memory that it may take; None for all.
    """

    rank: int
    count: int
    device: str
    store: str
    patience_s: float
    threads: int
    memory_fraction: float | None

    def to_json(self) -> str:
        """Return the place as a command-line argument."""
        return json.dumps(asdict(self))


def main(argv: Sequence[str]) -> int:
    """Join the others, and train as told until there is nothing more to read."""
    place = Place(**json.loads(argv[0]))
    import torch

    from hqgnet.ranks import Ranks, working
    from hqgnet.training.parallel.follower import Follower
    from hqgnet.training.parallel.group import join_group

    torch.set_num_threads(place.threads)
    device, ranks = torch.device(place.device), Ranks(place.rank, place.count)
    if place.memory_fraction is not None and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(place.memory_fraction, device)
    follower = Follower(device)
    _say_ready(sys.stdout)
    join_group(ranks, device, Path(place.store), place.patience_s)
    try:
        with working(ranks):
            for line in sys.stdin:
                follower.do(json.loads(line))
    except (MemoryError, torch.OutOfMemoryError) as error:
        sys.stderr.write(f"process {place.rank} on {place.device}: {error}\n")
        return OUT_OF_MEMORY
    return 0


def _say_ready(stream: TextIO) -> None:
    stream.write(f"{READY}\n")
    stream.flush()
    # Whatever a library prints from here on is for the log.
    os.dup2(sys.stderr.fileno(), stream.fileno())


def _exit(code: int) -> Any:
    # Without waiting for the process group, which the parent may have left already.
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main(sys.argv[1:]))
