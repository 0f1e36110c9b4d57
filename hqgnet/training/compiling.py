"""``training.compile``: the residual networks and discriminators of a step, compiled by ``torch.compile``.

The decoder stays as it is: its guided normalisation keeps its own gradient rule for rho, which would break
the compiled program into pieces.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import make_folder
from hqgnet.networks.resnet import ResNet

FOLDER = "compiled"
"""Of a site's work folder: what a later process need not compile again."""

_COMPILERS = ("g++", "clang++")


def missing_compiler(device: torch.device) -> Problem | None:
    """Return why this machine cannot compile for a device; None if it can."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        remedy = "pip install triton, or set training.compile: false in the experiment"
        return Problem("training.compile", "triton, which compiles for GPUs, is not installed", remedy)
    wanted = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ((wanted,) if wanted else _COMPILERS)):
        names = wanted or " or ".join(_COMPILERS)
        remedy = "Install it (apt install g++), or set training.compile: false in the experiment"
        return Problem("training.compile", f"there is no C++ compiler ({names})", remedy)
    return None


def compile_networks(networks: nn.Module, device: torch.device, folder: Path) -> None:
    """Let a step's networks be compiled when they are first used; names and parameters stay.

    Args:
        networks: Changed in place.
        device: Where they are.
        folder: Keeps what was compiled, for the process's later rounds and for later processes. It is read
            as code is: nobody else may write there.

    Raises:
        ConfigurationError: If the machine lacks what that takes.
        OutputError: If the folder cannot be made.
    """
    problem = missing_compiler(device)
    if problem is not None:
        raise ConfigurationError(problem)
    make_folder(folder)
    folder.chmod(0o700)
    # The default would be a folder of well-known name in /tmp.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    pyramid = _compiled_in_steps(ResNet.pyramid)
    for module in networks.modules():
        if isinstance(module, ResNet):
            # Bound to the module, so that a copy of it has its own weights.
            module.pyramid = MethodType(pyramid, module)  # type: ignore[method-assign]
    discriminators = networks.get_submodule("discriminator")
    for judge in (
        discriminators.children() if isinstance(discriminators, nn.ModuleDict) else (discriminators,)
    ):
        judge.compile(dynamic=False)


def _compiled_in_steps(eager: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    """Return a method that is compiled when a step calls it, and as it was when a model is used or judged.

    Torch compiles a handful of variants of a function, and none after these. Steps need most of them; images
    to be judged, of any shape and without gradient, would take the rest for a look at each.
    """
    compiled = torch.compile(eager, dynamic=False)

    def method(module: Any, images: Tensor) -> Any:
        return (eager if torch.is_inference_mode_enabled() else compiled)(module, images)

    return method
