"""Updates on disk, for strategies to combine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
            arrays: Sequence[Mapping[str, Array]],
            weights: Sequence[int] | None = None,
            known: Collection[str] = (),
        ) -> Sequence[StoredUpdate]:
            sites = [f"site-{index:02d}" for index in range(len(arrays))]
            room = max((sum(array.nbytes for array in one.values()) for one in arrays), default=0)
            spool = stack.enter_context(Spool(tmp_path / f"spool-{next(numbers)}", sites, room))
            for site, one in zip(sites, arrays, strict=True):
                spool.put(site, one)
            return spool.updates(dict(zip(sites, weights or [1] * len(arrays), strict=True)), known)

        yield put
