"""A quality classifier as one file: safetensors, with its header in the metadata. Nothing is unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from hqgnet import __version__
from hqgnet.errors import ModelFileError, Problem
from hqgnet.files import make_folder
from hqgnet.metrics.quality import QualityClassifier, QualityNetwork
from hqgnet.tensor_file import write_tensors

FORMAT_VERSION = 1
_HEADER = "hqgnet_quality"
_LARGEST_SIZE = 4096


def save_quality_classifier(path: Path, classifier: QualityClassifier) -> None:
    """Write a classifier atomically.

    Args:
        path: Ends in ``.safetensors``.
        classifier: Its held-out figures go into the file with it.

    Raises:
        OutputError: The file cannot be written.
    """
    header = {
        "format": FORMAT_VERSION,
        "software": __version__,
        "channels": classifier.channels,
        "image_size": classifier.image_size,
        "held_out_auc": classifier.held_out_auc,
        "held_out": list(classifier.held_out),
    }
    make_folder(path.parent)
    write_tensors(path, classifier.network.state_dict(), {_HEADER: json.dumps(header, sort_keys=True)})


def load_quality_classifier(path: Path) -> QualityClassifier:
    """Read a classifier.

    Raises:
        ModelFileError: The file is missing, cut short, not a quality classifier, or does not fit its own
            header.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise _unusable(path, "is missing", "Check the path, or train a quality classifier") from error
    except (OSError, SafetensorError) as error:
        raise _unusable(
            path, "cannot be read as safetensors", "Train the quality classifier again"
        ) from error
    untrained = _read_header(path, metadata)
    expected = untrained.network.state_dict()
    fits = expected.keys() == tensors.keys() and all(
        tensors[name].shape == value.shape and bool(torch.isfinite(tensors[name]).all())
        for name, value in expected.items()
    )
    if not fits:
        what = "its parameters do not fit, or are not finite"
        raise _unusable(path, what, "It was written by another version or damaged; train it again")
    untrained.network.load_state_dict(tensors)
    untrained.network.eval()
    return untrained


def _read_header(path: Path, metadata: dict[str, str]) -> QualityClassifier:
    """The classifier that the header describes, with fresh weights."""
    try:
        header = json.loads(metadata[_HEADER])
        version, channels, size = (int(header[name]) for name in ("format", "channels", "image_size"))
        auc = None if header["held_out_auc"] is None else float(header["held_out_auc"])
        lq, hq = (int(count) for count in header["held_out"])
    except (KeyError, ValueError, TypeError) as error:
        raise _unusable(path, "is not a quality classifier", "Give a file that one was saved to") from error
    if version != FORMAT_VERSION:
        raise _unusable(
            path, f"has format {version}, not {FORMAT_VERSION}", "Install the version that wrote it"
        )
    in_range = 0 < size <= _LARGEST_SIZE and (auc is None or 0 <= auc <= 1) and lq >= 0 and hq >= 0
    if channels not in (1, 3) or not in_range:
        raise _unusable(path, "has a header out of range", "It is damaged; train the classifier again")
    with torch.random.fork_rng(devices=[]):  # fresh weights must not move the global random state
        network = QualityNetwork(channels)
    return QualityClassifier(network, 1 if channels == 1 else 3, size, auc, (lq, hq))


def _unusable(path: Path, what: str, remedy: str) -> ModelFileError:
    return ModelFileError(Problem(str(path), what, remedy))
