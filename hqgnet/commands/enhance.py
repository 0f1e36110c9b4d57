"""``hqgnet enhance``."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from hqgnet.data.reading import IMAGE_SUFFIXES, read_image, read_with_format
from hqgnet.data.writing import write_image
from hqgnet.device import choose_device
from hqgnet.errors import DataError, HqgnetError, ModelFileError, OutputError, Problem
from hqgnet.guidance import image_guidance
from hqgnet.inference import enhance_image
from hqgnet.model_file import Model, load_model


def enhance(arguments: argparse.Namespace) -> None:
    """Enhance every image of a folder, or one image, keeping format, size and bit depth.

    Raises:
        DataError: After all others were written, if some image could not be read.
    """
    images = _find_images(arguments.input)
    targets = _targets(arguments.input, images, arguments.output)
    device = choose_device(arguments.device)
    model = load_model(arguments.model, device)
    guidance = _guidance(model, arguments.guide, arguments.model)
    problems: list[Problem] = []
    console = Console(stderr=True)
    work = list(zip(images, targets, strict=True))
    for source, target in track(work, "enhancing", console=console, disable=not console.is_terminal):
        try:
            image, kind = read_with_format(source, model.experiment.channels)
        except HqgnetError as error:
            problems += error.problems
            continue
        enhanced = enhance_image(model, image, guidance, native=arguments.at == "native")
        write_image(target, enhanced, kind)
    print(f"{len(work) - len(problems)} of {len(work)} images enhanced into {arguments.output}")
    if problems:
        raise DataError(problems)


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


def _guidance(model: Model, guide: Path | None, model_path: Path) -> Tensor:
    if guide is not None:
        image = read_image(guide, model.experiment.channels)
        device = next(model.networks.generator.parameters()).device
        return image_guidance(model.networks.cue_extractor, image, model.experiment.image_size, device)
    if model.guidance is None:
        remedy = "Give an HQ image with --guide"
        raise ModelFileError(
            Problem(str(model_path), "holds no guidance: no site offered its HQ cue", remedy)
        )
    return model.guidance
