"""Which of the experiments that were compared is a run's, or comes nearest to it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import validate_mapping
from server.report.record import Json


def nearest_experiment(run: Json, compared: Mapping[str, Json]) -> tuple[str, list[str] | None]:
    """Return the name of the compared experiment that is most like the run's, and in which keys it differs.

    The run's name says nothing, and seeds are told on their own: neither counts.

    Args:
        run: What ``experiment.json`` holds; empty where it is not known.
        compared: By name; at least one. Defaults may be left out.

    Returns:
        The name, and the keys: none where it is the run's experiment, None where that is not known.
    """
    if not run:
        return "", None
    mine = _spelled_out(run)
    differing = {name: _differences(_spelled_out(other), mine) for name, other in compared.items()}
    return min(differing.items(), key=lambda found: len(found[1]))


def _spelled_out(experiment: Json) -> Json:
    """With every default; an experiment of another version stays as it is."""
    try:
        known = validate_mapping(experiment, Experiment, "experiment")
    except ConfigurationError:
        return experiment
    return dict(json.loads(known.to_json()))


def _differences(first: Json, second: Json) -> list[str]:
    keys = (first.keys() | second.keys()) - {"name", "seed"}
    return sorted(key for key in keys if first.get(key) != second.get(key))
