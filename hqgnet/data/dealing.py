"""Deal patients at random to sites, splits or roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Role = TypeVar("Role")


def deal(people: Sequence[str], shares: Mapping[Role, float], rng: np.random.Generator) -> dict[str, Role]:
    """Give everyone one role, as near to the shares as whole people allow.

    Args:
        people: Each named once.
        shares: Roles and their shares, which sum to 1.
        rng: Who gets what.

    Returns:
        The role of each of the people.
    """
    ends = np.rint(np.cumsum(list(shares.values())) * len(people)).astype(int)
    counts = np.diff(ends, prepend=0)
    roles = [role for role, count in zip(shares, counts, strict=True) for _ in range(count)]
    return {people[index]: role for index, role in zip(rng.permutation(len(people)), roles, strict=True)}
