"""``hqgnet enhance``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from hqgnet.classical import CLASSICAL, Enhance
from hqgnet.commands.outputs import prepare_folder
from hqgnet.data.image_folders import find_images
from hqgnet.data.reading import is_coloured, read_image, read_with_format, to_channels
from hqgnet.data.writing import write_image
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, DataError, ModelFileError, OutputError, Problem
from hqgnet.export.runner import ExportedRunner, exported_folder
from hqgnet.guidance import image_guidance
from hqgnet.inference import Runner, TiledRunner, enhance_with
from hqgnet.inference.precision import prepared_runner
from hqgnet.inference.torch_runner import Precision
from hqgnet.method_config import CLASSICAL_METHODS, Method
from hqgnet.model_file import Model, load_model

_OVERLAP = 64


def enhance(arguments: argparse.Namespace) -> None:
    """Enhance every image of a folder, or one image, keeping format, size and bit depth.

    Raises:
        ConfigurationError: If an option cannot be met or would do nothing.
        DataError: If there is no image; or, after all others were written, if some could not be enhanced.
        ModelFileError: If the model cannot be used.
        OutputError: If results cannot be written, or would replace an original or, unasked, another result.
    """
    images = _found(arguments.input)
    targets = _targets(arguments, images)
    channels, enhanced = _opened(arguments)
    prepare_folder(arguments.output)
    problems: list[Problem] = []
    console = Console(stderr=True)
    work = list(zip(images, targets, strict=True))
    for source, target in track(work, "enhancing", console=console, disable=not console.is_terminal):
        try:
            image, kind = read_with_format(source)
            if channels == 1 and is_coloured(image):
                what = "is coloured, and the model is of grey images: it would take the colours away"
                raise DataError(Problem(str(source), what, "Leave it out, or convert it to grey"))
            result = enhanced(image if channels is None else to_channels(image, channels))
            if not bool(torch.isfinite(result).all()):
                what, remedy = "the model makes NaN or infinity of it", "Take another of the run's models"
                raise DataError(Problem(str(source), what, remedy))
        except DataError as error:
            problems += [_of_image(problem, source) for problem in error.problems]
            continue
        write_image(target, result, kind)
    print(f"{len(work) - len(problems)} of {len(work)} images enhanced into {arguments.output}")
    if problems:
        raise DataError(problems)


def _opened(arguments: argparse.Namespace) -> tuple[Literal[1, 3] | None, Enhance]:
    """Return channels, None to keep an image's own, and what enhances an image (C, H, W)."""
    if arguments.method:
        return None, _classical(arguments.method, arguments)
    folder = exported_folder(arguments.model)
    native = arguments.at == "native"
    if folder is not None:
        _check_exported(arguments)
        exported = ExportedRunner(folder)
        _check_precision(arguments.precision, exported.description.precision)
        return exported.description.channels, lambda image: enhance_with(exported, image, None, native=native)
    model = load_model(arguments.model, choose_device(arguments.device), with_task=False)
    if model.experiment.method in CLASSICAL_METHODS:
        return model.experiment.channels, _classical(model.experiment.method, arguments)
    _check_tiles(arguments)
    guidance = _guidance(model, arguments.guide, arguments.model)
    if arguments.tile:  # mistakes are told before the first image is read
        _tiled(model, "float32", arguments)
    runner_for = _runner_for(model, guidance, arguments)
    runner: Runner | None = None

    def enhanced(image: Tensor) -> Tensor:
        nonlocal runner
        runner = runner or runner_for(image)
        return enhance_with(runner, image, guidance, native=native)

    return model.experiment.channels, enhanced


def _runner_for(
    model: Model, guidance: Tensor | None, arguments: argparse.Namespace
) -> Callable[[Tensor], Runner]:
    """Return what makes a runner when the first image is there."""

    def runner_for(image: Tensor) -> Runner:
        if arguments.tile:
            # Of a large image its middle is enough to choose the precision by.
            image = _middle(image, arguments.tile)
        runner, error = prepared_runner(
            model, arguments.precision or "float32", image, guidance, native=arguments.at == "native"
        )
        if error is not None:
            print(f"{runner.precision}: bfloat16 differs from float32 by {error}", file=sys.stderr)
        return _tiled(model, runner.precision, arguments) if arguments.tile else runner

    return runner_for


def _tiled(model: Model, precision: Precision, arguments: argparse.Namespace) -> TiledRunner:
    overlap = _OVERLAP if arguments.overlap is None else arguments.overlap
    return TiledRunner(model, precision, tile=arguments.tile, overlap=overlap)


def _classical(method: Method, arguments: argparse.Namespace) -> Enhance:
    """Return a classical method, which takes images as they are; options of networks are refused."""
    if method not in CLASSICAL_METHODS:
        raise TypeError(f"{method} is not classical")
    given = {
        "--guide": arguments.guide is not None,
        "--tile": arguments.tile is not None,
        "--overlap": arguments.overlap is not None,
        "--precision": arguments.precision not in (None, "float32"),
        "--device": arguments.device not in ("auto", "cpu"),
        "--at": arguments.at == "trained",
    }
    what = f"{method} has no network: it enhances the full image on the processor, without a guide"
    problems = [Problem(option, what, "Leave it out") for option, is_given in given.items() if is_given]
    if problems:
        raise ConfigurationError(problems)
    return CLASSICAL[method]


def _found(source: Path) -> list[Path]:
    """Return a folder's images, or the one that is named, be it hidden or of any suffix."""
    return [source] if os.path.isfile(source) else find_images(source, "--input")


def _targets(arguments: argparse.Namespace, images: list[Path]) -> list[Path]:
    """Return where each image's result goes: to no original, and to no earlier result unless asked."""
    source, output = arguments.input, arguments.output
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        remedy = "Give a folder outside of it, where no result is taken for an original"
        raise OutputError(Problem(str(output), f"lies within the input {source}", remedy))
    base = source if source.is_dir() else source.parent
    targets = [output / image.relative_to(base) for image in images]
    inputs = {path.resolve() for path in (*images, arguments.guide) if path is not None}
    problems = [
        Problem(str(target), "is an input, which a result would replace", "Give another --output")
        for target in targets
        if target.resolve() in inputs
    ]
    if problems:
        raise OutputError(problems)
    there = [] if arguments.overwrite else [target for target in targets if os.path.lexists(target)]
    if there:
        what = f"holds {len(there)} of {len(targets)} results already (first {there[0]})"
        raise OutputError(Problem(str(output), what, "Give another folder, or --overwrite to replace them"))
    return targets


def _of_image(problem: Problem, source: Path) -> Problem:
    """Return a problem with one image so that it names the image's file."""
    if problem.where == str(source):
        return problem
    return Problem(str(source), f"{problem.where}: {problem.what}", problem.remedy)


def _guidance(model: Model, guide: Path | None, model_path: Path) -> Tensor | None:
    if not model.networks.guidance_size:
        if guide is not None:
            what = f"{model_path} takes no guide, by its method or its ablation.guidance"
            raise ConfigurationError(Problem("--guide", what, "Leave it out"))
        return None
    if guide is not None:
        image = read_image(guide, model.experiment.channels)
        device = model.networks.device
        return image_guidance(model.networks, image, model.experiment.image_size, device)
    if model.guidance is None:
        remedy = "Give an HQ image with --guide"
        raise ModelFileError(
            Problem(str(model_path), "holds no guidance: no site offered its HQ cue", remedy)
        )
    return model.guidance


def _check_tiles(arguments: argparse.Namespace) -> None:
    problems = []
    if arguments.tile is not None and arguments.at != "native":
        what = "at the size that the network was trained at, an image is small and needs no tiles"
        problems.append(Problem("--tile", what, "Leave it out, or add --at native"))
    if arguments.overlap is not None and arguments.tile is None:
        problems.append(Problem("--overlap", "there are no tiles", "Leave it out, or give --tile"))
    if problems:
        raise ConfigurationError(problems)


def _check_exported(arguments: argparse.Namespace) -> None:
    whole = "an exported network takes its statistics from what it sees"
    unmet = {
        "--guide": (arguments.guide is not None, "an exported network holds no cue extractor"),
        "--tile": (arguments.tile is not None, whole),
        "--overlap": (arguments.overlap is not None, whole),
        "--device": (arguments.device not in ("auto", "cpu"), "exported networks run on the processor"),
    }
    problems = [
        Problem(option, what, "Leave it out, or give the model file that was exported")
        for option, (is_given, what) in unmet.items()
        if is_given
    ]
    if problems:
        raise ConfigurationError(problems)


def _check_precision(wish: str | None, exported: str) -> None:
    if wish not in (None, "auto", exported):
        remedy = "Leave it out, or export the model again in the other precision"
        raise ConfigurationError(Problem("--precision", f"this network was exported in {exported}", remedy))


def _middle(image: Tensor, side: int) -> Tensor:
    top, left = (max(0, length - side) // 2 for length in image.shape[-2:])
    return image[..., top : top + side, left : left + side]
