"""What a network's numbers are stored as."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hqgnet.export.description import SizeRule
from hqgnet.export.formats import write_network

for _module in ("onnx", "onnxscript", "openvino"):
    pytest.importorskip(_module, reason="needs the extra 'export'")


class Scaled(nn.Module):
    """Two convolutions; what the first multiplies in one channel, the second takes back."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        with torch.no_grad():
            self.first.weight[0] *= scale
            self.second.weight[:, 0] /= scale

    def forward(self, images: Tensor) -> Tensor:
        return torch.sigmoid(self.second(self.first(images)))


def written(scale: float, folder: Path) -> tuple[float, int]:
    """Largest difference from torch in float32, and the size of the file of weights."""
    folder.mkdir()
    network, rule = Scaled(scale).eval(), SizeRule(multiple_of=32, smallest=32, height=None, width=None)
    run = write_network("openvino", network, None, rule, 3, folder, bfloat16=True)  # type: ignore[arg-type]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        error = torch.from_numpy(run(images.numpy(), None)) - network(images)
    return float(error.abs().max()), (folder / "model.bin").stat().st_size


def test_numbers_out_of_float16s_range_are_not_cut_down_to_it(tmp_path: Path) -> None:
    error, halved = written(1.0, tmp_path / "usual")
    assert error < 2e-3
    # float16 ends at 65504, bfloat16 where float32 ends.
    error, size = written(1e7, tmp_path / "large")
    assert error < 2e-3
    assert size > 1.8 * halved
