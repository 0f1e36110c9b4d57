"""Variants of an experiment: the same federation with some keys changed, each under a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import RootModel, field_validator

from hqgnet.config import NAME_PATTERN, Experiment
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import make_folder, write_atomically
from hqgnet.yaml_files import load_yaml_model, validate_mapping
from server.comparison.judging import ORIGINAL

Json = dict[str, Any]


class Variants(RootModel[dict[str, Json | None]]):
    """By name, what differs from the experiment; nothing is the experiment itself."""

    @field_validator("root")
    @classmethod
    def _named(cls, root: dict[str, Json | None]) -> dict[str, Json | None]:
        for name in root:
            if not re.fullmatch(NAME_PATTERN, name) or name == ORIGINAL:
                raise ValueError(f"{name!r} names no variant: lower-case letters, digits and hyphens do")
        if len(root) < 2:
            raise ValueError("there is nothing to compare: name two variants or more")
        return root


def read_variants(experiment: Path, variants: Path) -> dict[str, Json]:
    """Return what each variant's experiment file would hold, by name, in the order of the file.

    Args:
        experiment: YAML file that all variants start from, known to be an experiment.
        variants: YAML file: a mapping from names to keys of the experiment, nested as there; a mapping
            changes the keys that it names, any other value takes the place of the experiment's.

    Raises:
        ConfigurationError: If the file of variants is none, or one of them is no experiment.
    """
    found = load_yaml_model(variants, Variants).root
    base = yaml.safe_load(experiment.read_text(encoding="utf-8"))
    merged = {name: _merged(base, {"name": name, **(changes or {})}) for name, changes in found.items()}
    problems: list[Problem] = []
    for name, mapping in merged.items():
        try:
            validate_mapping(mapping, Experiment, f"{variants}: {name}")
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return merged


def write_variants(merged: Mapping[str, Json], folder: Path) -> dict[str, Path]:
    """Write an experiment file a variant, and return them by name.

    Args:
        merged: What :func:`read_variants` returned.
        folder: Where they go.
    """
    make_folder(folder)
    files = {name: folder / f"{name}.yaml" for name in merged}
    for name, file in files.items():
        write_atomically(file, yaml.safe_dump(merged[name], sort_keys=False).encode())
    return files


def _merged(base: Json, changes: Mapping[str, Any]) -> Json:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        nested = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _merged(old, value) if nested else value  # type: ignore[arg-type]
    return merged
