"""Updates on disk, for strategies to combine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from hqgnet.exchange.arrays import Array
from server.spool import Spool, StoredUpdate

Store = Callable[..., Sequence[StoredUpdate]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Put updates on disk, one a site in this order, and return them as a round hands them on."""
    numbers = count()
    with ExitStack() as stack:

        def put(
            arrays: Sequence[Mapping[str, Array]], weights: Sequence[int] | None = None
        ) -> Sequence[StoredUpdate]:
            spool = stack.enter_context(Spool(tmp_path / f"spool-{next(numbers)}"))
            for index, one in enumerate(arrays):
                spool.put(f"site-{index:02d}", one)
            given = weights or [1] * len(arrays)
            return spool.updates({f"site-{index:02d}": weight for index, weight in enumerate(given)})

        yield put
