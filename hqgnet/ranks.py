"""What processes that train together on one batch exchange: sums of gradients, weights, and features.

Each process (a *rank*) holds an equal share of every batch. A loss that is a mean over images needs nothing
more than the mean of the gradients; what mixes images within a batch (batch normalisation, a mean over all
logits) asks here for what the other ranks have. Outside :func:`working` there is one process, and all of this
does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Large enough that a network goes in a few dozen messages, small beside the network.
_BUCKET_NUMBERS = 2**23


@dataclass(frozen=True)
class Ranks:
    """The processes that train together.

    Attributes:
        rank: Which this one is; 0 holds the moments, and is the site's own process.
        count: How many there are.
    """

    rank: int
    count: int


_AT_WORK: ContextVar[Ranks | None] = ContextVar("ranks at work", default=None)


def ranks_at_work() -> Ranks | None:
    """Return the processes that take the present step together; None if this one is alone."""
    return _AT_WORK.get()


@contextmanager
def working(ranks: Ranks) -> Iterator[None]:
    """Let this process exchange with the others, of ``torch.distributed``'s default group, in the context."""
    token = _AT_WORK.set(ranks)
    try:
        yield
    finally:
        _AT_WORK.reset(token)


def gathered(tensor: Tensor) -> Tensor:
    """Return every rank's ``tensor`` as (count, ...), in the order of ranks; the gradient goes back to each.

    Args:
        tensor: Of the same shape at every rank.
    """
    if ranks_at_work() is None:
        return tensor.unsqueeze(0)
    result: Tensor = _Gather.apply(tensor)  # type: ignore[no-untyped-call]
    return result


def own_share(tensor: Tensor) -> Tensor:
    """Return this rank's share of a tensor of the whole batch, (B, ...) to (B / count, ...)."""
    ranks = ranks_at_work()
    return tensor if ranks is None else tensor.chunk(ranks.count)[ranks.rank]


@torch.no_grad()
def average(gradients: Sequence[Tensor]) -> None:
    """Put the mean over all ranks into rank 0's tensors; what the others hold afterwards means nothing."""
    ranks = ranks_at_work()
    if ranks is None:
        return
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.reduce(flat, 0)
        if ranks.rank == 0:
            _fill(bucket, flat / ranks.count)


@torch.no_grad()
def spread(tensors: Sequence[Tensor]) -> None:
    """Put rank 0's numbers into every rank's tensors, of the same shapes and types in the same order."""
    ranks = ranks_at_work()
    if ranks is None:
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.broadcast(flat, 0)
        if ranks.rank:
            _fill(bucket, flat)


class _Gather(torch.autograd.Function):
    """All-gather, whose gradient is the sum of what all ranks ask of this one's tensor."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        ranks = ranks_at_work()
        assert ranks is not None
        context.rank = ranks.rank
        given = tensor.contiguous()
        parts = [torch.empty_like(given) for _ in range(ranks.count)]
        dist.all_gather(parts, given)
        return torch.stack(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        own: Tensor = total[context.rank]
        return own


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield runs of tensors of one type, of about as many numbers as go well in one message."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (
            bucket[0].dtype != tensor.dtype or sum(one.numel() for one in bucket) >= _BUCKET_NUMBERS
        ):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view(tensor.shape))
