"""A whole federation on one machine, through Flower's simulation engine: checked, followed, ended."""

from __future__ import annotations

import glob
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hqgnet.config import PHASES, Experiment, load_experiment
from hqgnet.data.site_config import SiteConfig, load_site_config, misfits
from hqgnet.downstream_config import NETWORK_TASKS
from hqgnet.errors import ConfigurationError, DataError, ExitCode, Problem
from hqgnet.exchange.groups import shared_groups
from hqgnet.labels import label_problems
from server.display import Display, choose_display
from server.flower_app import Setting
from server.flower_process import LocalFlower
from server.outcome import raise_unless_completed, write_failure
from server.progress import Follower, read_status
from server.run_directory import RunDirectory
from server.tracking.choice import track_setting

_POLL_S = 0.1
_AFTERMATH_S = 10.0


@dataclass(frozen=True)
class Simulation:
    """What ``hqgnet-server simulate`` is asked to do.

    Attributes:
        experiment: YAML file.
        sites: Glob pattern of site files.
        directory: Where results go.
        seed: Instead of the experiment's; None keeps that.
        overwrite: Replace a run that is there.
        cpus_per_site: Share of processors for a site's work; also its number of threads.
        gpus_per_site: Share of a GPU; it schedules sites and limits no memory.
        cpus: Processors to use in all; None: those of the machine.
        gpus: GPUs to use in all; None: those of the machine, if sites want any.
        track: Trackers, as :func:`server.tracking.choice.choose` reads them.
    """

    experiment: Path
    sites: str
    directory: RunDirectory
    seed: int | None = None
    overwrite: bool = False
    cpus_per_site: int = 1
    gpus_per_site: float = 0.0
    cpus: int | None = None
    gpus: int | None = None
    track: tuple[str, ...] = ()

    def resources(self, sites: int, usable_cpus: int) -> dict[str, float]:
        """Return Flower's federation configuration: no more processors than sites can use."""
        wanted = min(self.cpus or usable_cpus, sites * self.cpus_per_site)
        resources: dict[str, float] = {
            "client-resources-num-cpus": self.cpus_per_site,
            "client-resources-num-gpus": self.gpus_per_site,
            "init-args-num-cpus": max(wanted, self.cpus_per_site),
        }
        if self.gpus is not None:
            resources["init-args-num-gpus"] = self.gpus
        return resources


def simulate(simulation: Simulation, display: Display | None = None) -> None:
    """Run a federation and show how it goes.

    Raises:
        ConfigurationError: If experiment or sites cannot be used; all mistakes at once, before anything is
            started.
        DataError: If a site's images cannot be used; likewise.
        OutputError: If the run directory holds a run already.
        RunFailedError: If the run ends without a result.
    """
    files = find_sites(simulation.sites)
    _, configs = check_files(simulation.experiment, files)
    track_setting(simulation.track)  # a mistake is told before anything is started
    directory = simulation.directory
    directory.check_free(overwrite=simulation.overwrite)
    directory.logs.mkdir(parents=True, exist_ok=True)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with LocalFlower(directory.logs) as flower:
            # Opening the images takes as long as the SuperLink takes to start: both at once.
            check_images(configs)
            check_gpus(simulation)
            directory.prepare(overwrite=simulation.overwrite)
            flower.run(
                len(files), simulation.resources(len(files), _usable_cpus()), _settings(simulation, files)
            )
            _follow(flower, directory, display or choose_display())
    except KeyboardInterrupt:
        if read_status(directory)[0] == "running":
            problem = Problem("simulation", "was interrupted", "Start it again with --overwrite")
            write_failure(directory, problem, ExitCode.INTERRUPTED)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def find_sites(pattern: str) -> list[Path]:
    """Return the site files that a glob pattern names, in order.

    Raises:
        ConfigurationError: If there are none.
    """
    files = [
        Path(name).absolute() for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file()
    ]
    if not files:
        remedy = "Give a glob pattern of site YAML files, in quotes: --sites 'site_configs/demo/site-*.yaml'"
        raise ConfigurationError(Problem("--sites", f"no file matches {pattern!r}", remedy))
    return files


def check_files(experiment_file: Path, files: Sequence[Path]) -> tuple[Experiment, list[SiteConfig]]:
    """Read the experiment and all site files, and check that they fit together.

    Raises:
        ConfigurationError: With every mistake in every file.
    """
    problems: list[Problem] = []
    experiment: Experiment | None = None
    try:
        experiment = load_experiment(experiment_file)
    except ConfigurationError as error:
        problems += error.problems
    configs: dict[Path, SiteConfig] = {}
    for file in files:
        try:
            configs[file] = load_site_config(file)
        except ConfigurationError as error:
            problems += error.problems
    for what, values in (
        ("name", [config.name for config in configs.values()]),
        ("work", [str(config.work) for config in configs.values()]),
    ):
        repeated = {value for value, count in Counter(values).items() if count > 1}
        problems += [
            Problem(f"{file}: {what}", f"{value} is another site's too", "Give each site its own")
            for file, value in zip(configs, values, strict=True)
            if value in repeated
        ]
    if experiment is not None:
        problems += [p for file, config in configs.items() for p in misfits(config, experiment, str(file))]
        problems += label_problems(list(configs.values()), experiment, str(experiment_file))
        problems += _withheld(configs, experiment)
        minimum = experiment.federation.minimum_sites
        if len(files) < minimum:
            what = f"{minimum} sites are wanted, --sites names {len(files)}"
            problems.append(
                Problem(f"{experiment_file}: federation.minimum_sites", what, "Lower it or add sites")
            )
    if problems or experiment is None:
        raise ConfigurationError(problems)
    return experiment, list(configs.values())


def _withheld(configs: Mapping[Path, SiteConfig], experiment: Experiment) -> list[Problem]:
    """Return whose policy withholds what the experiment shares, where too few others are left to go on."""
    phases = [phase for phase in PHASES if experiment.phase(phase).rounds]
    shared = {group for phase in phases for group in shared_groups(phase, experiment)}
    strategy, network, problems = experiment.federation.strategy, experiment.downstream.network, []
    for file, config in configs.items():
        policy = config.policy
        if policy.strategies is not None and strategy not in policy.strategies:
            what = f"does not list {strategy}, the experiment's"
            problems.append(Problem(f"{file}: policy.strategies", what, "Add it, or take another strategy"))
        elif network not in (*NETWORK_TASKS, *policy.networks):
            what = f"does not list {network}, the experiment's downstream network"
            problems.append(Problem(f"{file}: policy.networks", what, "Add it, or take another network"))
        elif kept := sorted(shared - set(policy.groups)):
            what = f"keeps {kept[0]} at the site, the experiment shares it"
            problems.append(Problem(f"{file}: policy.groups", what, "Add it there, or do not share it"))
    left = len(configs) - len(problems)
    return problems if left < experiment.federation.minimum_sites else []


def check_images(configs: Sequence[SiteConfig]) -> None:
    """Open every site's images once.

    Raises:
        DataError: With the problems of all sites.
    """
    # The libraries behind it take seconds to load: only once the files are known to be right.
    from hqgnet.data.site_data import SiteData

    problems: list[Problem] = []
    for config in configs:
        try:
            SiteData.open(config)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)


def check_gpus(simulation: Simulation) -> None:
    """Check that the GPUs that sites are promised are there.

    Raises:
        ConfigurationError: If not.
    """
    if simulation.gpus_per_site == 0:
        return
    import torch

    present = torch.cuda.device_count()
    usable = present if simulation.gpus is None else min(simulation.gpus, present)
    if simulation.gpus_per_site > usable or (simulation.gpus or 0) > present:
        what = f"{simulation.gpus_per_site:g} GPUs a site are asked for, {usable} of {present} may be used"
        remedy = "Lower --gpus-per-site or --gpus, or install a CUDA build of torch"
        raise ConfigurationError(Problem("--gpus-per-site", what, remedy))


def _settings(simulation: Simulation, files: Sequence[Path]) -> dict[str, Setting]:
    return {
        "experiment": str(simulation.experiment.absolute()),
        "run-dir": str(simulation.directory.root.absolute()),
        "simulation-sites": json.dumps([str(file) for file in files]),
        "simulation-process": os.getpid(),
        "seed": -1 if simulation.seed is None else simulation.seed,
        # What stood there has been cleared away before the run was submitted.
        "overwrite": True,
        **track_setting(simulation.track),
    }


def _follow(flower: LocalFlower, directory: RunDirectory, display: Display) -> None:
    follower = Follower(directory.progress)
    finished_at: float | None = None
    with display:
        while True:
            ended = flower.ended()
            for event in follower.new_events():
                display.show(event)
            state, _, _ = read_status(directory)
            if state in ("completed", "failed"):
                finished_at = finished_at or time.monotonic()
                # Ray ends by itself within seconds; it is given the time, not waited for without limit.
                if ended or time.monotonic() - finished_at > _AFTERMATH_S:
                    break
            elif ended:
                break
            time.sleep(_POLL_S)
    _raise_unless_completed(flower, directory)


def _raise_unless_completed(flower: LocalFlower, directory: RunDirectory) -> None:
    log = directory.logs / "flower.log"

    def unfinished() -> Problem:
        what = f"the run ended before its time (Flower says {flower.final_status()})"
        return Problem("simulation", what, f"Look at {log} and {log.with_name('superlink.log')}")

    more = Problem("log", str(log), "It holds what Flower and the sites' processes wrote")
    raise_unless_completed(directory, more, unfinished)


def _usable_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
