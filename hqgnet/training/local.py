"""Training at one place: a hospital in a federation, or all data in one room."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from hqgnet.config import Experiment, PhaseName
from hqgnet.data.batches import UnpairedBatches
from hqgnet.data.site_data import SiteData
from hqgnet.device import memory_fraction, training_devices
from hqgnet.exchange.groups import trained_groups
from hqgnet.labels import has_labels
from hqgnet.networks import networks_of
from hqgnet.training.compiling import FOLDER, compile_networks
from hqgnet.training.parallel.batch_norm import share_batch_norm
from hqgnet.training.parallel.checks import refuse_unequal
from hqgnet.training.parallel.follower import mean_over_ranks
from hqgnet.training.parallel.team import team_of
from hqgnet.training.phase import Phase
from hqgnet.training.phases import phase_of
from hqgnet.training.protocols import Batches

OnStep = Callable[[int, int], None]
_PRIVATE = "private."


@dataclass(frozen=True)
class LocalResult:
    """What a stretch of local training amounts to.

    Attributes:
        losses: Mean of each loss over the steps that have it: a batch without labels has no downstream loss.
        steps: Steps taken.
        seconds: Wall time.
        trained_groups: Parameter groups that changed.
    """

    losses: dict[str, float]
    steps: int
    seconds: float
    trained_groups: tuple[str, ...]


class LocalTrainer:
    """Networks, batches and optimisers of one place, for all phases of one experiment.

    The initial weights depend on ``experiment.seed`` alone, so that every site starts from the same model.

    Args:
        experiment: What to train.
        data: The site; several are pooled (training without federation).
        device: Where to train. A site file that names several devices adds a process for each further one;
            of pooled sites, the first one's counts.
        need_hq: HQ images must be there; a site of a federation may have none, and takes part in what it can.

    Raises:
        DataError: If a site has no LQ or no HQ image to train on.
        ConfigurationError: If several devices cannot train what one would, or the machine cannot compile.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Sequence[SiteData],
        device: torch.device,
        *,
        need_hq: bool = True,
    ) -> None:
        self.experiment = experiment
        self.device = device
        networks = networks_of(experiment)
        # Channels last: the same numbers, a step about 1.2 times as fast on CPUs.
        self.networks = networks.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._data = tuple(data)
        self.devices = training_devices(self._data[0].config, device)
        refuse_unequal(experiment, self._data, len(self.devices))
        if len(self.devices) > 1:
            share_batch_norm(self.networks)
        elif experiment.training.compile:
            # Not where processes exchange within the networks: that would cut them into small pieces.
            compile_networks(self.networks, device, self._data[0].config.work / FOLDER)
        self.has_labels = any(has_labels(site, experiment) for site in self._data)
        self.has_hq = any(site.has_hq for site in self._data)
        self.lq_images = sum(len(site.lq["train"]) for site in self._data)
        self.hq_images = sum(len(site.hq["train"]) for site in self._data)
        self.batches = UnpairedBatches(
            self._data,
            image_size=experiment.image_size,
            batch_size=experiment.training.batch_size,
            seed=experiment.seed,
            need_masks=self.has_labels and experiment.downstream.label == "masks",
            need_grades=self.has_labels and experiment.downstream.label == "grades",
            need_hq=need_hq,
        )
        self._current: tuple[PhaseName, Phase] | None = None

    def train(
        self,
        phase: PhaseName,
        first_step: int,
        steps: int,
        on_step: OnStep | None = None,
        deadline_s: float | None = None,
    ) -> LocalResult:
        """Take ``steps`` steps of ``phase``, the first being number ``first_step`` of that phase.

        Args:
            phase: Which phase; entering another one starts its optimisers afresh.
            first_step: Decides the batches, so that a resumed run sees the same ones.
            steps: How many.
            on_step: Called after each step with steps done and steps wanted.
            deadline_s: Stop early after so many seconds, but never before one step.

        Raises:
            RunFailedError: If a further process of the training fails.
        """
        runner = self._phase(phase)
        totals: dict[str, Tensor] = {}
        counts: Counter[str] = Counter()
        begun = time.monotonic()
        taken = 0
        with self._together(phase, runner) as batches:
            for index in range(first_step, first_step + steps):
                factor = self.experiment.schedule(phase, index)
                for adam in runner.optimizers.values():
                    adam.scale(factor)
                losses = mean_over_ranks(runner.step(batches, index))
                for name, value in losses.items():
                    totals[name] = totals[name] + value if name in totals else value.double()
                counts.update(losses.keys())
                taken += 1
                if on_step:
                    on_step(taken, steps)
                if deadline_s is not None and time.monotonic() - begun > deadline_s:
                    break
        means = {name: float(total) / counts[name] for name, total in totals.items()}
        groups = trained_groups(phase, self.experiment, self.has_labels, self.has_hq)
        return LocalResult(means, taken, time.monotonic() - begun, groups)

    def state(self, group: str = "") -> dict[str, Tensor]:
        """Return every parameter and buffer by name, prefixed by its group; detached, on the CPU.

        Args:
            group: The one to return; empty for all.
        """
        prefix = f"{group}." if group else ""
        return {
            name: value.detach().cpu().contiguous()
            for name, value in self.networks.state_dict().items()
            if name.startswith(prefix)
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put received parameters in place; names that are absent keep their values.

        Raises:
            KeyError: For a name that the networks do not have.
            ValueError: For another shape than the networks'.
        """
        own = self.networks.state_dict()
        for name, value in tensors.items():
            if own[name].shape != value.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(own[name].shape)}")
        with torch.no_grad():
            for name, value in tensors.items():
                own[name].copy_(value)

    def private_state(self, phase: PhaseName) -> dict[str, Tensor]:
        """Return what stays at the site between rounds: discriminators, moments, remembered images."""
        kept = {f"networks.{name}": value for name, value in self.state("discriminator").items()}
        runner = self._phase(phase)
        for optimizer, adam in runner.optimizers.items():
            kept |= {f"adam.{optimizer}.{name}": value.cpu() for name, value in adam.state().items()}
        return kept | {f"{_PRIVATE}{name}": value.cpu() for name, value in runner.private_tensors().items()}

    def load_private_state(self, phase: PhaseName, tensors: Mapping[str, Tensor]) -> None:
        """Restore :meth:`private_state`; an empty mapping starts the phase's optimisers afresh.

        Optimisers that the phase does not have are passed over, so that a phase can begin with the
        discriminator of the one before it.
        """
        runner = self._phase(phase)
        self.load(
            {name.removeprefix("networks."): v for name, v in tensors.items() if name.startswith("networks.")}
        )
        for optimizer, adam in runner.optimizers.items():
            prefix = f"adam.{optimizer}."
            adam.load_state({n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)})
        runner.load_private_tensors(
            {n.removeprefix(_PRIVATE): v for n, v in tensors.items() if n.startswith(_PRIVATE)}
        )

    @contextmanager
    def _together(self, phase: PhaseName, runner: Phase) -> Iterator[Batches]:
        """Yield what steps take their images from: all of them, or this process's share."""
        if len(self.devices) == 1:
            yield self.batches
            return
        team = team_of(self.devices, memory_fraction(self._data[0].config, self.device))
        with team.leading(self.networks, self.experiment, phase, runner, self.batches) as batches:
            yield batches

    def _phase(self, name: PhaseName) -> Phase:
        if self._current is None or self._current[0] != name:
            self._current = (name, phase_of(name, self.networks, self.experiment, self.device))
        return self._current[1]
