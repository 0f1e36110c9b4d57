"""``hqgnet score``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from rich.console import Console
from rich.progress import track

from hqgnet.data.image_folders import find_images
from hqgnet.data.reading import read_image
from hqgnet.data.transforms import resize_longer_side
from hqgnet.errors import DataError, HqgnetError, Problem
from hqgnet.metrics.no_reference import field_of_view
from hqgnet.metrics.scoring import Score, score


def score_images(arguments: argparse.Namespace) -> None:
    """Print figures without reference of images, as a table or as JSON.

    Raises:
        DataError: After all others were scored, if some path or image could not be read.
    """
    paths, problems = _found(arguments.images)
    console = Console(stderr=True)
    scored: list[tuple[Path, dict[str, Score]]] = []
    for path in track(paths, "scoring", console=console, disable=not console.is_terminal):
        try:
            scored.append((path, _scores(path, arguments)))
        except HqgnetError as error:
            problems += error.problems
    if arguments.json:
        print(json.dumps([_row(path, scores) for path, scores in scored], indent=2))
    elif scored:
        _print_table(scored, arguments.metrics)
    if problems:
        raise DataError(problems)


def _found(given: list[Path]) -> tuple[list[Path], list[Problem]]:
    """Files as given and the images of folders, each once; and what is wrong with folders."""
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for source in given:
        try:
            found |= dict.fromkeys(find_images(source, "IMAGE") if os.path.isdir(source) else [source])
        except DataError as error:
            problems += error.problems
    return list(found), problems


def _scores(path: Path, arguments: argparse.Namespace) -> dict[str, Score]:
    image = read_image(path)
    if arguments.size is not None:
        image = resize_longer_side(image, arguments.size)
    inside = field_of_view(image.unsqueeze(0))[0] if arguments.field_of_view else None
    return {name: score(image, name, inside) for name in arguments.metrics}


def _row(path: Path, scores: dict[str, Score]) -> dict[str, object]:
    row: dict[str, object] = {"file": str(path)} | {name: score.value for name, score in scores.items()}
    reasons = {name: score.reason for name, score in scores.items() if score.reason}
    return row | ({"reasons": reasons} if reasons else {})


def _print_table(scored: list[tuple[Path, dict[str, Score]]], metrics: tuple[str, ...]) -> None:
    rows = [["file", *metrics]]
    for path, scores in scored:
        values = (scores[name].value for name in metrics)
        rows.append([str(path), *("n/a" if value is None else f"{value:.3f}" for value in values)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for file, *figures in rows:
        cells = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
        print(file.ljust(widths[0]), *cells, sep="  ")
    for path, scores in scored:
        for name in metrics:
            if reason := scores[name].reason:
                print(f"n/a: {name} of {path}: {reason}")
