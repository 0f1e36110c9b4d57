"""The site YAML: where one hospital's images lie, and what this hospital allows."""

from __future__ import annotations

import os
import re
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hqgnet.config import NAME_PATTERN, Experiment, Modality
from hqgnet.data.site_policy import SitePolicy
from hqgnet.data.site_server import ServerConnection
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.yaml_files import load_yaml_model


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageFolders(_Frozen):
    """Folders of images, searched with their sub-folders, and the grades; relative to the YAML file."""

    lq: Path = Field(description="folder of low-quality images")
    hq: Path | None = Field(
        None,
        description="folder of high-quality images, of other patients or moments; without it the site takes "
        "part in what needs none (docs/cue-bank.md)",
    )
    masks: Path | None = Field(None, description="folder of masks, each named like its LQ image")
    twins: Path | None = Field(
        None, description="folder of clean versions of LQ images, each named like it; for judging only"
    )
    grades: Path | None = Field(
        None,
        description="CSV with columns file, grade: the level (0 to 3) of each LQ image; file is relative "
        "to the CSV's folder",
    )

    @property
    def has_masks(self) -> bool:
        """Whether there is a folder of masks."""
        return self.masks is not None

    @property
    def has_grades(self) -> bool:
        """Whether there is a file of grades."""
        return self.grades is not None

    @property
    def has_hq(self) -> bool:
        """Whether there is a folder of HQ images."""
        return self.hq is not None


class SplitConfig(_Frozen):
    """How patients are dealt to training, validation and test: by a file, or drawn."""

    file: Path | None = Field(
        None, description="CSV with columns file, patient, split; file is relative to the CSV's folder"
    )
    patient_pattern: str = Field(
        r"^(?P<patient>[^_]+)",
        description="regular expression that finds the patient in a file name without suffix; with / in "
        "it, in the path in the image folder",
    )
    validation: float = Field(0.1, ge=0, lt=1, description="share of patients for choosing the best model")
    test: float = Field(0.2, ge=0, lt=1, description="share of patients for the final figures")
    seed: int = Field(0, strict=True, ge=0, description="which draw")

    @field_validator("patient_pattern")
    @classmethod
    def _names_a_patient(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression ({error}): correct it") from error
        if "patient" not in groups:
            raise ValueError("has no group named patient: mark it as (?P<patient>...)")
        return pattern

    @model_validator(mode="after")
    def _one_way(self) -> SplitConfig:
        drawn = sorted(self.model_fields_set - {"file"})
        if self.file is not None and drawn:
            raise ValueError(
                f"file and {', '.join(drawn)} exclude each other: keep the file or the drawn split"
            )
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on: let them sum to less than 1")
        return self


class SiteConfig(_Frozen):
    """One hospital's site file."""

    name: str = Field(pattern=NAME_PATTERN, description="the site's name in the federation, such as site-1")
    modality: Modality = Field(description="what the images are")
    channels: Literal[1, 3] = Field(description="1 for grey, 3 for colour images")
    images: ImageFolders = Field(description="where the images lie")
    split: SplitConfig = Field(
        default_factory=SplitConfig, description="which patients train, validate and test"
    )
    work: Path = Field(
        Path("work"), description="private folder for state and pictures; never leaves the site"
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$", description="auto, cpu, cuda or cuda:N"
    )
    devices: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="train on several, a process each, as on one: each step's images are dealt out in equal "
        "shares. [cuda:0, cuda:1], say; all else is done on the first (docs/speed.md)",
    )
    threads: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=1024,
        description="processor threads to use; null leaves the choice to torch",
    )
    share_guidance: bool = Field(
        True, strict=True, description="whether the mean cue of the HQ images (64 numbers) may leave the site"
    )
    minimum_images_for_guidance: int = Field(
        8,
        strict=True,
        ge=1,
        description="share the mean cue only if it is taken over at least so many images",
    )
    server: ServerConnection | None = Field(
        None, description="the federation that the site's daemon joins; not needed for simulations"
    )
    policy: SitePolicy = Field(default_factory=SitePolicy, description="what this hospital allows")

    @model_validator(mode="before")
    @classmethod
    def _first_device(cls, given: Any) -> Any:
        """Let the first of several devices be the device."""
        if not isinstance(given, dict) or "device" in given:
            return given
        devices = given.get("devices")
        if not isinstance(devices, list | tuple) or not devices:
            return given
        return {**given, "device": devices[0]}

    @model_validator(mode="after")
    def _devices_together(self) -> SiteConfig:
        devices = self.devices or ()
        gpus = [device for device in devices if device != "cpu"]
        if unknown := [device for device in gpus if not re.fullmatch(r"cuda:[0-9]+", device)]:
            raise ValueError(f"devices names {', '.join(unknown)}: say cuda:N, each another, or cpu")
        if devices and self.device != devices[0]:
            raise ValueError("device and devices name different ones: keep devices alone")
        if len(set(gpus)) < len(gpus) or 0 < len(gpus) < len(devices):
            raise ValueError("devices names a GPU twice, or GPUs and cpu: name different GPUs")
        return self


def load_site_config(path: Path) -> SiteConfig:
    """Read and check a site file; its relative paths are made absolute.

    Raises:
        ConfigurationError: Naming every mistake with file, key, value and remedy.
    """
    config = load_yaml_model(path, SiteConfig)
    root = path.parent.absolute()
    given = {name: root / value for name, value in config.images if value is not None}
    work = root / config.work
    folders = {name: folder for name, folder in given.items() if name != "grades"}
    problems = _overlaps(folders, work, str(path))
    if problems:
        raise ConfigurationError(problems)
    split_file = config.split.file
    split = (
        config.split if split_file is None else config.split.model_copy(update={"file": root / split_file})
    )
    server = config.server
    if server is not None:
        server = server.model_copy(update={"ca": root / server.ca, "key": root / server.key})
    images = config.images.model_copy(update=given)
    return config.model_copy(update={"images": images, "split": split, "work": work, "server": server})


def misfits(config: SiteConfig, experiment: Experiment, where: str) -> list[Problem]:
    """Return why a site cannot take part in an experiment, or use its model; nothing if it can.

    Args:
        config: The site.
        experiment: What is, or was, trained.
        where: Said in the problems: the site's file.
    """
    return [
        Problem(
            f"{where}: {key}",
            f"is {given}, the experiment's is {wanted}",
            "Take the site out, or take an experiment (or model) for such images",
        )
        for key, given, wanted in (
            ("modality", config.modality, experiment.modality),
            ("channels", config.channels, experiment.channels),
        )
        if given != wanted
    ]


def _overlaps(folders: dict[str, Path], work: Path, where: str) -> list[Problem]:
    """A folder inside another would be read twice, HQ as LQ or our own pictures as data.

    Images inside the work folder would lie where a run writes and deletes whose name the server gives.
    """
    given = {f"images.{name}": folder for name, folder in folders.items()} | {"work": work}
    # Not Path.resolve, which raises where links lead in a circle; that is told when the folder is opened.
    keys = {key: Path(os.path.realpath(folder)) for key, folder in given.items()}
    problems = []
    for (inner, inner_path), (outer, outer_path) in permutations(keys.items(), 2):
        if not inner_path.is_relative_to(outer_path):
            continue
        if inner_path == outer_path and inner < outer:
            continue  # reported once, in the other order
        what = f"{inner_path} is the same as or lies inside {outer} ({outer_path})"
        problems.append(Problem(f"{where}: {inner}", what, "Give each its own folder, side by side"))
    return problems
