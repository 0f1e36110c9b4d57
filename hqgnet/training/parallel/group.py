"""Joining ``torch.distributed``'s process group: NCCL between GPUs, gloo between processors, on loopback."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from hqgnet.ranks import Ranks


def join_group(ranks: Ranks, device: torch.device, store: Path, patience_s: float) -> None:
    """Meet the other processes, and wait for all of them.

    They find each other through a file that only this user can read; nothing listens but on the loopback
    interface, and there only while they meet.

    Args:
        ranks: Which process this is.
        device: On which it computes.
        store: The file.
        patience_s: How long it may wait for the others, here and in every later exchange.

    Raises:
        RuntimeError: If they do not come.
    """
    loopback = _loopback()
    # In place of what the machine's environment says: a hospital's network is none of this.
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback
    # A GPU that waits for a dead one raises an error here, in place of ending the whole process.
    os.environ["TORCH_NCCL_BLOCKING_WAIT"] = "1"
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=dist.FileStore(str(store), ranks.count),  # type: ignore[attr-defined]
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=timedelta(seconds=patience_s),
        device_id=device if on_gpu else None,
    )


def _loopback() -> str:
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in ("lo", "lo0") if name in names), "lo")
