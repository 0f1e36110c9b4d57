"""The global model: what the sites train on, and the averaged copy that is judged and published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqgnet.config import Experiment, PhaseName
from hqgnet.cue_bank import CueBank
from hqgnet.exchange.arrays import Array, Arrays, ArraySpec, specs, to_arrays, to_tensors
from hqgnet.exchange.groups import cue_keys, evaluation_keys, frozen_keys, renewed_keys, shared_keys
from hqgnet.model_file import save_model
from hqgnet.networks import networks_of
from hqgnet.networks.pretrained import load_pretrained
from hqgnet.training.averaging import latest_share
from server.spool import StoredUpdate
from server.strategies import make_strategy

_LATEST, _PUBLISHED, _STRATEGY = "latest.", "published.", "strategy."


class GlobalModel:
    """Global parameters, stepped once a round.

    Every site builds the same initial networks from the experiment's seed, so only what a phase shares
    travels. ``published`` is an exponential average over the rounds of a phase where
    ``federation.server_average`` asks for it, and the same as ``latest`` where not. A phase begins from
    what the one before published, or from its latest weights (``federation.phase_begins_from``).

    Args:
        experiment: What is trained.

    Raises:
        ConfigurationError: If a file of pretrained weights cannot be used.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._networks = networks_of(experiment)
        load_pretrained(self._networks, experiment)
        state = self._networks.state_dict()
        self._specs = specs(state, state)
        self.latest: Arrays = {name: array.copy() for name, array in to_arrays(state, state).items()}
        self.published: Arrays = dict(self.latest)
        self._trained = frozenset(name for name, _ in self._networks.named_parameters())
        self._strategy = make_strategy(experiment.federation, self._trained)
        self._rounds_in_phase = 0

    @property
    def guidance_size(self) -> int:
        """Numbers in a guide; 0 for a method that takes none."""
        return self._networks.guidance_size

    def begin_phase(self) -> None:
        """Start a phase from the published model, or from the latest weights where the experiment says so."""
        if self._experiment.federation.phase_begins_from == "published":
            self.latest = dict(self.published)
        self._strategy = make_strategy(self._experiment.federation, self._trained)
        self._rounds_in_phase = 0

    def outgoing(self, phase: PhaseName, has_labels: bool = True) -> Arrays:
        """Return what a site receives in every round: what is trained, and what goes beside it."""
        names = renewed_keys(self._networks, phase, self._experiment, has_labels)
        trained = self._take(self.latest, names)
        return trained | self._strategy.beside(trained)

    def frozen(self, phase: PhaseName, has_labels: bool = True) -> Arrays:
        """Return what a site needs in a phase and nobody trains: it stays as it is in all its rounds."""
        return self._take(self.latest, frozen_keys(self._networks, phase, self._experiment, has_labels))

    def expected(self, phase: PhaseName, has_labels: bool, has_hq: bool = True) -> dict[str, ArraySpec]:
        """Return what the update of a site must look like."""
        names = shared_keys(self._networks, phase, self._experiment, has_labels, has_hq)
        beside = self._strategy.beside(self._take(self.latest, names))
        forms = {name: ArraySpec(array.shape, str(array.dtype)) for name, array in beside.items()}
        return {name: self._specs[name] for name in names} | forms

    def cue_extractor(self, parameters: Arrays) -> Arrays:
        """Return what a site receives to describe its HQ images."""
        return self._take(parameters, cue_keys(self._networks, self._experiment))

    def for_evaluation(self, parameters: Arrays, *, with_task: bool) -> Arrays:
        """Return what every site receives to judge ``parameters``."""
        names = evaluation_keys(self._networks, self._experiment, with_task=with_task)
        return self._take(parameters, names)

    def combine(self, updates: Sequence[StoredUpdate]) -> Arrays:
        """Return what the strategy makes of a round's updates."""
        return self._strategy.combine(updates)

    def step(self, combined: Mapping[str, Array]) -> None:
        """Take the strategy's step, and fold it into the published average."""
        stepped = self._strategy.step(self.latest, combined)
        self.latest = self.latest | stepped
        self._rounds_in_phase += 1
        share = latest_share(self._experiment.federation.server_average, self._rounds_in_phase)
        if share == 1.0:
            self.published = dict(self.latest)
            return
        # What nobody sent this time comes nearer to its latest value too: that counts for this round.
        self.published = {
            name: array if self.published[name] is array else _averaged(self.published[name], array, share)
            for name, array in self.latest.items()
        }

    def state(self) -> Arrays:
        """Return all that is needed to go on: both copies of the parameters, and the strategy's own state."""
        arrays: Arrays = {f"{_LATEST}{name}": array for name, array in self.latest.items()}
        # Where the two copies share an array, one is kept.
        arrays |= {
            f"{_PUBLISHED}{name}": array
            for name, array in self.published.items()
            if array is not self.latest[name]
        }
        return arrays | {f"{_STRATEGY}{name}": array for name, array in self._strategy.state().items()}

    def load_state(self, arrays: Mapping[str, Array], rounds_in_phase: int) -> None:
        """Take up what :meth:`state` gave.

        Args:
            arrays: From a checkpoint.
            rounds_in_phase: Steps taken since the phase began.
        """
        self.latest = _without(_LATEST, arrays)
        self.published = self.latest | _without(_PUBLISHED, arrays)
        self._strategy = make_strategy(self._experiment.federation, self._trained)
        self._strategy.load_state(_without(_STRATEGY, arrays))
        self._rounds_in_phase = rounds_in_phase

    def save(
        self,
        path: Path,
        parameters: Arrays,
        guidance: Tensor | None,
        details: Mapping[str, Any],
        bank: CueBank | None = None,
    ) -> str:
        """Write ``parameters`` as a model file; return the file's SHA-256.

        Raises:
            OutputError: If it cannot be written.
        """
        self._networks.load_state_dict(to_tensors(parameters))
        save_model(
            path, self._networks, self._experiment, guidance=guidance, details=dict(details), bank=bank
        )
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @staticmethod
    def _take(parameters: Arrays, names: Iterable[str]) -> Arrays:
        return {name: parameters[name] for name in names}


def _without(prefix: str, arrays: Mapping[str, Array]) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _averaged(average: Array, latest: Array, share: float) -> Array:
    if np.issubdtype(latest.dtype, np.integer):
        return latest
    return torch.from_numpy(np.array(average)).lerp(torch.from_numpy(np.array(latest)), share).numpy()
