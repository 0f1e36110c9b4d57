"""Enhancers that need no training: the classical methods that HQG-Net compares itself with (Section IV)."""

from __future__ import annotations

from hqgnet.classical import ata, caefi, idrlp
from hqgnet.classical.illumination import Enhance
from hqgnet.method_config import ClassicalMethod

CLASSICAL: dict[ClassicalMethod, Enhance] = {
    "caefi": caefi.enhance,
    "ata": ata.enhance,
    "idrlp": idrlp.enhance,
}
"""By name: functions from images (C, H, W) or (B, C, H, W) in [0, 1] to enhanced ones of the same shape."""

__all__ = ["CLASSICAL", "Enhance"]
