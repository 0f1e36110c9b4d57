"""Using a trained model: on images of any size, quickly, from its own file or an exported one."""

from __future__ import annotations

from hqgnet.inference.images import enhance_image, enhance_with
from hqgnet.inference.runner import Runner
from hqgnet.inference.tiled_runner import TiledRunner
from hqgnet.inference.torch_runner import TorchRunner

__all__ = ["Runner", "TiledRunner", "TorchRunner", "enhance_image", "enhance_with"]
