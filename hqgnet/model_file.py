"""A trained model as one file: safetensors, with all that is needed to use it in its metadata.

The file holds what enhances (of HQG-Net the cue extractor and the generator), the downstream network and one
guidance vector, so that images can be enhanced without any HQ image at hand; beside it the bank of cues of
which that vector is the mean, where sites lent theirs. Nothing in it is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hqgnet import __version__
from hqgnet.config import Experiment, experiment_from_json
from hqgnet.cue_bank import PREFIX, CueBank, ImplausibleCuesError
from hqgnet.downstream_config import DownstreamConfig
from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.exchange.groups import published_groups
from hqgnet.files import make_folder
from hqgnet.networks import Networks, networks_of
from hqgnet.tensor_file import why_closed, write_tensors

FORMAT_VERSION = 1
TASK_TRAINED = "task_trained"
"""Key of a model file's details under which its writer notes :attr:`Model.task_trained`."""
_GUIDANCE = "guidance"
_TASK = "task."
_HEADER = "hqgnet"


@dataclass(frozen=True)
class Model:
    """A model as read from its file, ready for use (in evaluation mode).

    Attributes:
        networks: Discriminator and autoencoder decoder are present but untrained.
        experiment: What it was trained for.
        guidance: Stored guidance vector v_z, ``(1, 64)``; None if no site gave one, or the method takes none.
        details: What the writer noted: phase, round, metrics.
        bank: Cues that sites lent; None where there are none.
    """

    networks: Networks
    experiment: Experiment
    guidance: Tensor | None
    details: dict[str, Any] = field(default_factory=dict)
    bank: CueBank | None = None

    @property
    def task_trained(self) -> bool:
        """Whether the writer noted that the downstream network has learned, so that it can be judged.

        A file without the note counts as one whose network has not: figures of an untrained network look like
        any others, while a figure that is missing is told with its reason.
        """
        return bool(self.details.get(TASK_TRAINED, False))


def save_model(
    path: Path,
    networks: Networks,
    experiment: Experiment,
    *,
    guidance: Tensor | None,
    details: dict[str, Any] | None = None,
    bank: CueBank | None = None,
) -> None:
    """Write a model file atomically.

    Args:
        path: Ends in ``.safetensors``. Missing folders are made.
        networks: Of which what enhances and the downstream network are saved.
        experiment: Goes into the file.
        guidance: v_z, ``(64,)`` or ``(1, 64)``, used where the user gives no guide.
        details: JSON-able notes, for example phase and round; ``task_trained`` where the downstream network
            has learned, without which nobody judges it.
        bank: Cues that sites lent.

    Raises:
        OutputError: If it cannot be written; what stood there before is untouched.
    """
    groups = _prefixes(experiment)
    tensors = {name: value for name, value in networks.state_dict().items() if name.startswith(groups)}
    if guidance is not None:
        tensors[_GUIDANCE] = guidance.float().reshape(1, -1)
    if bank is not None:
        tensors |= {name: torch.from_numpy(array) for name, array in bank.to_arrays().items()}
    header = {
        "format": FORMAT_VERSION,
        "software": __version__,
        "details": details or {},
        "experiment": experiment.to_json(),
    }
    make_folder(path.parent)
    write_tensors(path, tensors, {_HEADER: json.dumps(header, sort_keys=True)})


def load_model(path: Path, device: torch.device | str = "cpu", *, with_task: bool = True) -> Model:
    """Read a model file.

    Args:
        path: The file.
        device: Where to put the networks.
        with_task: Else the downstream network is left out, for those who enhance alone: its class, where the
            file names one of a user's, is then not imported.

    Raises:
        ModelFileError: If the file is missing, cut short, not one of ours, or does not fit its own
            configuration.
    """
    closed = why_closed(path)
    if closed is not None:
        raise _unusable(path, f"cannot be read ({closed})", "Give a model file that this user may read")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            names = [n for n in opened.keys() if with_task or not n.startswith(_TASK)]  # noqa: SIM118
            tensors = {name: opened.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise _unusable(
            path, "is missing", "Check the path; a run keeps its models in its models folder"
        ) from error
    except (OSError, SafetensorError) as error:
        raise _unusable(path, "cannot be read as safetensors", "Give a model file of a run, whole") from error
    experiment, details = _read_header(path, metadata)
    lent = {name: tensors.pop(name) for name in list(tensors) if name.startswith(PREFIX)}
    try:
        networks = networks_of(experiment if with_task else _without_task(experiment), seed=0)
    except ConfigurationError as error:
        raise ModelFileError(error.problems) from error
    if not with_task:
        networks.task, details = nn.Identity(), {**details, TASK_TRAINED: False}
    groups = _prefixes(experiment)
    expected = {name: value for name, value in networks.state_dict().items() if name.startswith(groups)}
    if _GUIDANCE in tensors:
        expected[_GUIDANCE] = torch.empty(1, networks.guidance_size)
    misfits = sorted(
        name
        for name in expected.keys() | tensors.keys()
        if name not in tensors or name not in expected or not _is_alike(tensors[name], expected[name])
    )
    if misfits or not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        what = (
            f"{len(misfits)} parameters do not fit, first {misfits[0]}"
            if misfits
            else "it holds NaN or infinity"
        )
        raise _unusable(
            path, what, "It was written by another version or damaged; take it from the run again"
        )
    guidance = tensors.pop(_GUIDANCE, None)
    bank = _read_bank(path, lent, networks.guidance_size, experiment) if lent else None
    networks.load_state_dict(tensors, strict=False)
    guidance = None if guidance is None else guidance.to(device)
    return Model(networks.to(device).eval(), experiment, guidance, details, bank)


def read_experiment(path: Path) -> Experiment:
    """Read what a model file was trained for, and none of its weights.

    Raises:
        ModelFileError: If it is no model file.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unusable(path, "cannot be read as safetensors", "Give a model file of a run, whole") from error
    return _read_header(path, metadata)[0]


def _read_header(path: Path, metadata: dict[str, str]) -> tuple[Experiment, dict[str, Any]]:
    try:
        header = json.loads(metadata[_HEADER])
        version, details = header["format"], dict(header["details"])
        experiment = experiment_from_json(header["experiment"], str(path))
    except (KeyError, ValueError, TypeError, RecursionError, ConfigurationError) as error:
        raise _unusable(path, "is not an HQG-Net model", "Give a file from a run's models folder") from error
    if version != FORMAT_VERSION:
        raise _unusable(
            path, f"has format {version}, not {FORMAT_VERSION}", "Install the version that wrote it"
        )
    return experiment, details


def _read_bank(path: Path, lent: Mapping[str, Tensor], size: int, experiment: Experiment) -> CueBank:
    try:
        # numpy lacks some of torch's types: a TypeError.
        arrays = {name: value.numpy() for name, value in lent.items()}
        return CueBank.from_arrays(arrays, size, experiment.federation.cue_bank.norm_limit)
    except (ImplausibleCuesError, TypeError) as error:
        raise _unusable(path, f"its bank of cues is none ({error})", "Take it from the run again") from error


def _is_alike(given: Tensor, expected: Tensor) -> bool:
    return (given.shape, given.dtype) == (expected.shape, expected.dtype)


def _without_task(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"downstream": DownstreamConfig()})


def _prefixes(experiment: Experiment) -> tuple[str, ...]:
    return tuple(f"{group}." for group in published_groups(experiment))


def _unusable(path: Path, what: str, remedy: str) -> ModelFileError:
    return ModelFileError(Problem(str(path), what, remedy))
