"""Which experiments several processes can train as one would."""

from __future__ import annotations

from collections.abc import Sequence

from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.labels import has_labels

_WHERE = "devices"


def refuse_unequal(experiment: Experiment, data: Sequence[SiteData], count: int) -> None:
    """Refuse what ``count`` processes would train otherwise than one.

    Args:
        experiment: What is trained.
        data: The site, or several pooled.
        count: Processes; 1 is always right.

    Raises:
        ConfigurationError: With every reason.
    """
    if count == 1:
        return
    problems = []
    batch = experiment.training.batch_size
    if batch % count:
        fitting = [str(number) for number in range(1, batch + 1) if batch % number == 0]
        what = f"a batch of {batch} images cannot be dealt in equal shares to {count} devices"
        remedy = f"Name {' or '.join(fitting)} devices, or let training.batch_size be a multiple of {count}"
        problems.append(Problem(_WHERE, what, remedy))
    if experiment.method == "stillgan" and experiment.stillgan.pool:
        what = "StillGAN's pool of earlier images is one process's: several would remember others"
        problems.append(Problem(_WHERE, what, "Name one device, or set stillgan.pool: 0 in the experiment"))
    labelled = [has_labels(site, experiment) for site in data]
    if experiment.phases.cooperate.rounds and any(labelled) and not all(labelled):
        what = f"of the pooled sites only some have {experiment.downstream.label}: shares would not be equal"
        remedy = "Name one device, or pool only sites that have them"
        problems.append(Problem(_WHERE, what, remedy))
    if problems:
        raise ConfigurationError(problems)
