"""``hqgnet export``."""

from __future__ import annotations

import argparse

import torch

from hqgnet.data.reading import read_image
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.export.writing import ExportRequest, export_model
from hqgnet.guidance import image_guidance
from hqgnet.method_config import CLASSICAL_METHODS
from hqgnet.model_file import load_model


def export(arguments: argparse.Namespace) -> None:
    """Write a model for another runtime, checked against torch."""
    model = load_model(arguments.model, with_task=False)
    if model.experiment.method in CLASSICAL_METHODS:
        what = f"{model.experiment.method} enhances without a network: there is nothing to export"
        remedy = f"Use hqgnet enhance --method {model.experiment.method}"
        raise ConfigurationError(Problem(str(arguments.model), what, remedy))
    guidance = model.guidance
    if not model.networks.guidance_size:
        _refuse_guidance(arguments)
    if arguments.guide is not None:
        experiment = model.experiment
        guide = read_image(arguments.guide, experiment.channels)
        guidance = image_guidance(model.networks, guide, experiment.image_size, torch.device("cpu"))
    request = ExportRequest(arguments.to, arguments.precision, arguments.guidance == "baked", arguments.size)
    written = export_model(model, arguments.model, arguments.output, request, guidance)
    size = "any size" if written.size.height is None else f"{written.size.height}x{written.size.width} pixels"
    guided = {"none": "without guidance", "baked": "guidance baked in", "input": "guidance as an input"}
    print(
        f"{written.network} in {arguments.output}: {written.precision}, images of {size}, "
        f"{guided[written.guidance]}; at most {written.largest_error:.1e} from torch on random images"
    )


def _refuse_guidance(arguments: argparse.Namespace) -> None:
    given = {"--guide": arguments.guide is not None, "--guidance input": arguments.guidance == "input"}
    what = f"{arguments.model} takes no guide, by its method or its ablation.guidance"
    problems = [Problem(option, what, "Leave it out") for option, is_given in given.items() if is_given]
    if problems:
        raise ConfigurationError(problems)
