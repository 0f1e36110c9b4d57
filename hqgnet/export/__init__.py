"""Models written for other runtimes: ONNX, OpenVINO and torch.export, each checked against torch."""

from __future__ import annotations
