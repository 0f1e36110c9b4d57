"""``hqgnet enhance``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import track
from torch import Tensor

from hqgnet.classical import CLASSICAL, Enhance
from hqgnet.data.reading import IMAGE_SUFFIXES, read_image, read_with_format
from hqgnet.data.writing import write_image
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, DataError, ModelFileError, OutputError, Problem
from hqgnet.export.runner import ExportedRunner, exported_folder
from hqgnet.guidance import image_guidance
from hqgnet.inference import Runner, TiledRunner, enhance_with
from hqgnet.inference.precision import prepared_runner
from hqgnet.method_config import CLASSICAL_METHODS, Method
from hqgnet.model_file import Model, load_model


def enhance(arguments: argparse.Namespace) -> None:
    """Enhance every image of a folder, or one image, keeping format, size and bit depth.

    Raises:
        DataError: After all others were written, if some image could not be read.
    """
    images = _find_images(arguments.input)
    targets = _targets(arguments.input, images, arguments.output)
    channels, enhanced = _opened(arguments)
    problems: list[Problem] = []
    console = Console(stderr=True)
    work = list(zip(images, targets, strict=True))
    for source, target in track(work, "enhancing", console=console, disable=not console.is_terminal):
        try:
            image, kind = read_with_format(source, channels)
            result = enhanced(image)
        except DataError as error:
            problems += [Problem(str(source), f"{p.where}: {p.what}", p.remedy) for p in error.problems]
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
    model = load_model(arguments.model, choose_device(arguments.device))
    if model.experiment.method in CLASSICAL_METHODS:
        return model.experiment.channels, _classical(model.experiment.method, arguments)
    guidance = _guidance(model, arguments.guide, arguments.model)
    if arguments.tile:  # mistakes are told before the first image is read
        TiledRunner(model, "float32", tile=arguments.tile, overlap=arguments.overlap)
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
        native = arguments.at == "native"
        if arguments.tile and native:
            # Of a large image its middle is enough to choose the precision by.
            image = _middle(image, arguments.tile)
        runner, error = prepared_runner(
            model, arguments.precision or "float32", image, guidance, native=native
        )
        if error is not None:
            print(f"{runner.precision}: bfloat16 differs from float32 by {error}", file=sys.stderr)
        if not arguments.tile:
            return runner
        return TiledRunner(model, runner.precision, tile=arguments.tile, overlap=arguments.overlap)

    return runner_for


def _classical(method: Method, arguments: argparse.Namespace) -> Enhance:
    """Return a classical method, which takes images as they are; options of networks are refused."""
    if method not in CLASSICAL_METHODS:
        raise TypeError(f"{method} is not classical")
    given = {
        "--guide": arguments.guide is not None,
        "--tile": arguments.tile is not None,
        "--precision": arguments.precision not in (None, "float32"),
        "--device": arguments.device not in ("auto", "cpu"),
        "--at": arguments.at == "trained",
    }
    what = f"{method} has no network: it enhances the full image on the processor, without a guide"
    problems = [Problem(option, what, "Leave it out") for option, is_given in given.items() if is_given]
    if problems:
        raise ConfigurationError(problems)
    return CLASSICAL[method]


def _find_images(source: Path) -> list[Path]:
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES)
    else:
        found = [source] if source.is_file() else []
    if not found:
        what = "holds no image" if source.exists() else "does not exist"
        raise DataError(
            Problem(str(source), what, f"Give an image or a folder of {', '.join(sorted(IMAGE_SUFFIXES))}")
        )
    return found


def _targets(source: Path, images: list[Path], output: Path) -> list[Path]:
    base = source if source.is_dir() else source.parent
    targets = [output / image.relative_to(base) for image in images]
    if any(target.resolve() == image.resolve() for image, target in zip(images, targets, strict=True)):
        raise OutputError(
            Problem(str(output), "is where the input lies", "Give another folder: nothing is overwritten")
        )
    return targets


def _guidance(model: Model, guide: Path | None, model_path: Path) -> Tensor | None:
    if not model.networks.guidance_size:
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


def _check_exported(arguments: argparse.Namespace) -> None:
    unmet = {
        "--guide": (arguments.guide is not None, "an exported network holds no cue extractor"),
        "--tile": (arguments.tile is not None, "an exported network takes its statistics from what it sees"),
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
