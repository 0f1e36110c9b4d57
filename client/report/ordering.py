"""Worst cases first: by what the image allows to be said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hqgnet.report.figures import difference, finite

SortKey = tuple[int, float]

_WAYS = (
    "by the change of Dice (downstream network against mask)",
    "by the change of PSNR (likeness to the clean twin)",
    "by the relative change of average gradient and entropy together, which says little",
    "without any figure",
)
_WITHOUT_REFERENCE = ("average_gradient", "entropy")


def sort_key(row: Mapping[str, object]) -> SortKey:
    """Return where an image stands among the cases: the lowest comes first.

    Images with a mask come first, by the change of Dice; then those with a twin, by the change of PSNR;
    then the others, by the mean relative change of average gradient and entropy.

    Args:
        row: Figures of one image.
    """
    for rank, metric in enumerate(("dice", "psnr")):
        change = difference(row.get(f"{metric}_enhanced"), row.get(f"{metric}_original"))
        if change is not None:
            return rank, change
    relative = []
    for metric in _WITHOUT_REFERENCE:
        before = finite(row.get(f"{metric}_original"))
        change = difference(row.get(f"{metric}_enhanced"), before)
        if change is not None and before:
            relative.append(change / abs(before))
    return (2, sum(relative) / len(relative)) if relative else (3, 0.0)


def told(keys: Iterable[SortKey]) -> str:
    """Say in words how cases with these keys are sorted."""
    counts: dict[int, int] = {}
    for rank, _ in keys:
        counts[rank] = counts.get(rank, 0) + 1
    ways = [f"{counts[rank]} {_WAYS[rank]}" for rank in sorted(counts)]
    return f"Worst first: {', then '.join(ways)}."
