"""A hospital's site as one run sees it: its data, trainer and private folder, opened once a process."""

from __future__ import annotations

import glob
import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from client.refusals import RefusalError
from client.site_content import content_digest
from hqgnet.config import Experiment, PhaseName, experiment_from_json
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device, memory_fraction
from hqgnet.errors import HqgnetError
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.groups import local_keys
from hqgnet.exchange.update import SiteError
from hqgnet.labels import has_labels
from hqgnet.training.local import LocalTrainer
from hqgnet.training.state import PrivateState

Setting = str | int | float | bool | bytes
# Opened sites of one process: a simulation's worker serves several; networks and images of more would fill
# the memory.
_MOST_OPEN = 4
_OPEN: OrderedDict[tuple[Path, str, str], OpenSite] = OrderedDict()
_TORCHS_THREADS = torch.get_num_threads()


def site_file(node_config: Mapping[str, Setting], run_config: Mapping[str, Setting]) -> Path:
    """Return the site's YAML: from the node's own configuration, or in a simulation by the node's number.

    Raises:
        RefusalError: If neither says it.
    """
    if "site-config" in node_config:
        return Path(str(node_config["site-config"]))
    sites = simulated_sites(str(run_config.get("simulation-sites", "")))
    number = node_config.get("partition-id")
    if not isinstance(number, int) or not 0 <= number < len(sites):
        reason = f"the node has no site-config, and node {number!r} is none of {len(sites)} simulated sites"
        raise RefusalError(SiteError.CONFIGURATION, reason)
    return sites[number]


def simulated_sites(text: str) -> list[Path]:
    """Read the run configuration's ``simulation-sites``: a JSON list of files, or a glob pattern."""
    if text.startswith("["):
        return [Path(str(item)) for item in json.loads(text)]
    return [Path(name) for name in sorted(glob.glob(text, recursive=True))]


@dataclass
class OpenSite:
    """A site in one run.

    Attributes:
        config: Its YAML.
        experiment: What the run trains.
        run: The run's identifier.
        data: Its images.
        card: What the server knows of them.
        device: Where to compute.
        content: What it was opened from (:func:`client.site_content.content_digest`).
    """

    config: SiteConfig
    experiment: Experiment
    run: str
    data: SiteData
    card: DataCard
    device: torch.device
    content: str
    _trainer: LocalTrainer | None = None
    _initial: dict[str, Tensor] | None = None

    @property
    def folder(self) -> Path:
        """The run's folder at the site: private state, log, pictures."""
        return run_folder(self.config, self.run)

    @property
    def state_folder(self) -> Path:
        """What training goes on with, and what is deleted when the run is over."""
        return self.folder / "state"

    @property
    def state(self) -> PrivateState:
        """Private training state on the site's disk."""
        return PrivateState(self.state_folder)

    @property
    def trainer(self) -> LocalTrainer:
        """Networks and batches; built when first needed."""
        if self._trainer is None:
            self._trainer = LocalTrainer(self.experiment, [self.data], self.device, need_hq=False)
            state = self._trainer.state()
            names = local_keys(self._trainer.networks, self.experiment.federation)
            self._initial = {f"networks.{name}": state[name].clone() for name in names}
        return self._trainer

    def usable_images(self, phase: PhaseName) -> tuple[int, int]:
        """Return how many LQ and HQ images a phase is trained on.

        Where a site has labels, ``cooperate`` draws labelled LQ images alone
        (:class:`hqgnet.data.batches.UnpairedBatches`).
        """
        lq, hq = self.data.lq["train"], self.data.hq["train"]
        if phase != "cooperate" or not has_labels(self.data, self.experiment):
            return len(lq), len(hq)
        masks = self.experiment.downstream.label == "masks"
        return sum((sample.mask if masks else sample.grade) is not None for sample in lq), len(hq)

    def initial_private(self) -> dict[str, Tensor]:
        """Return the site's own parameters as they are before any training.

        A process that has trained another round keeps its networks; they start from here, so that what they
        hold depends on the site's disk alone.
        """
        _ = self.trainer
        return dict(self._initial or {})


def run_folder(config: SiteConfig, run: str) -> Path:
    """Return where a site keeps what belongs to a run."""
    return Path(config.work) / run


def open_site(file: Path, run: str, experiment_json: str) -> OpenSite:
    """Open a site for a run, or return it as opened before by this process, if nothing of it has changed.

    Args:
        file: The site's YAML.
        run: The run's identifier; names the folder for private state.
        experiment_json: As the server sent it.

    Raises:
        ConfigurationError: If YAML or experiment cannot be used.
        DataError: If the site has no usable images.
        RefusalError: If the experiment is for images of another kind.
    """
    experiment = experiment_from_json(experiment_json, "the server's request")
    config = load_site_config(file)
    # Taken before the files are read: what changes while they are is seen by the next message.
    content = content_digest(config)
    key = (file.resolve(), run, experiment.digest())
    for known in [known for known, site in _OPEN.items() if known[0] == key[0] and site.content != content]:
        del _OPEN[known]  # before it is opened again: both would fill the memory
    if key in _OPEN:
        _OPEN.move_to_end(key)
        return _OPEN[key]
    if (config.modality, config.channels) != (experiment.modality, experiment.channels):
        raise RefusalError(
            SiteError.CONFIGURATION, f"{file} is not for {experiment.modality}, {experiment.channels}"
        )
    data = SiteData.open(config)
    site = OpenSite(config, experiment, run, data, DataCard.of(data), choose_device(config.device), content)
    _OPEN[key] = site
    while len(_OPEN) > _MOST_OPEN:
        _OPEN.popitem(last=False)
    return site


def forget_sites() -> None:
    """Close all sites of this process."""
    _OPEN.clear()


def log_file(file: Path, run: str) -> Path | None:
    """Return where a site logs a run; None if its YAML cannot be read."""
    try:
        return run_folder(load_site_config(file), run) / "site.log"
    except HqgnetError:
        return None


def use_resources(site: OpenSite, *, simulated: bool) -> None:
    """Let torch use as many threads, and as much GPU memory, as the site says.

    In a simulation the worker's share of the processors counts, which Ray tells by ``OMP_NUM_THREADS``.
    """
    if simulated:
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    else:
        torch.set_num_threads(site.config.threads or _TORCHS_THREADS)
    if site.device.type == "cuda":
        fraction = memory_fraction(site.config, site.device)
        torch.cuda.set_per_process_memory_fraction(1.0 if fraction is None else fraction, site.device)
