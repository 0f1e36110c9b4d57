"""The ServerApp: builds the run from Flower's run configuration, starts it, and says how it ended."""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import platform
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from hqgnet import __version__
from hqgnet.config import Experiment, load_experiment
from hqgnet.errors import ConfigurationError, ExitCode, HqgnetError, OutputError, Problem, RunFailedError
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.audit import AuditLog
from hqgnet.tied import end_with
from server.checkpoints import Position
from server.context import RunContext
from server.launch.registration import registered_name
from server.link import persist
from server.progress import Progress, read_status
from server.resuming import check_experiment, reopen
from server.roster import Roster
from server.rounds import Rounds
from server.run_directory import RunDirectory
from server.tracking.choice import TrackedRun, read_setting
from server.tracking.live import LiveTracking

app = ServerApp()
LOGGER = logging.getLogger("hqgnet.server")
_NODES_APPEAR_S = 30.0


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that the run configuration names.

    Its keys: ``experiment`` (YAML file), ``run-dir`` (empty: ``runs/<experiment's name>``), ``seed``
    (negative: the experiment's), ``overwrite``, ``resume`` (go on with the run that the folder holds),
    ``federation`` (its YAML file: each site has to go by the name that its key was given to; empty where
    there are no keys), ``simulation-sites`` (a glob pattern or JSON list of site files; empty outside
    simulations), ``simulation-process`` (the run ends when that process does, however it ends; 0: with no
    other), and ``track`` (a tracker, or a JSON list of them). Paths are relative to the folder in which the
    SuperLink was started.

    Raises:
        HqgnetError: After it has been written to the run directory's ``status.json``, so that Flower marks
            the run as failed.
    """
    settings = context.run_config
    if process := int(str(settings.get("simulation-process", 0))):
        end_with(process)
    experiment = _experiment(Path(str(settings["experiment"])), int(str(settings.get("seed", -1))))
    directory = RunDirectory(Path(str(settings.get("run-dir", "")) or f"runs/{experiment.name}").absolute())
    trackers = read_setting(str(settings.get("track", "")))
    overwrite, resume = bool(settings.get("overwrite", False)), bool(settings.get("resume", False))
    directory.check_free(overwrite=overwrite or resume)
    with directory.held():
        progress = Progress(directory, context.run_id)
        if resume and read_status(directory)[0] == "completed":
            check_experiment(directory, experiment)
            LOGGER.info("%s is completed: there is nothing to resume", directory.root)
            return
        if not resume:
            directory.prepare(overwrite=overwrite)
        progress.status("running")
        try:
            state = _open(directory, experiment, resume=resume)
            run = state[0].run if state else run_identifier(directory.root.name, context.run_id)
            audit = AuditLog(directory.audit)
            run_context = RunContext(grid, experiment, run, directory, progress, audit)
            tracked = TrackedRun(directory.root, run, experiment.name)
            with LiveTracking(tracked, trackers, lambda problem: _warn(progress, problem)):
                roster = partial(_roster, run_context, settings)
                _audited(run_context, context.run_id, state, roster)
        except HqgnetError as error:
            progress.status("failed", error)
            raise
        except Exception as error:
            LOGGER.exception("the run failed")
            problem = Problem("the run", f"failed unexpectedly ({type(error).__name__})", "Look at its log")
            progress.status("failed", RunFailedError(problem))
            raise
        progress.status("completed", code=ExitCode.OK)


def _open(directory: RunDirectory, experiment: Experiment, *, resume: bool) -> tuple[Position, Arrays] | None:
    state = None
    if resume:
        check_experiment(directory, experiment)
        state = reopen(directory)
    directory.write_json("experiment.json", json.loads(experiment.to_json()))
    return state


def _warn(progress: Progress, problem: str) -> None:
    with contextlib.suppress(OutputError):  # on a full disk the run itself says so
        progress.say("tracking", problem=problem)


def _audited(
    context: RunContext,
    flower_run: int,
    state: tuple[Position, Arrays] | None,
    roster: Callable[[], Roster],
) -> None:
    """Run, and write into the audit log how it began and how it ended."""
    facts: dict[str, Any] = {"run": context.run, "flower_run": str(flower_run)}
    facts |= {"experiment": context.experiment.digest(), "versions": _versions()}
    if state is None:
        context.audit.append("run-started", **facts)
    else:
        place = {"phase": state[0].phase, "round": state[0].round}
        context.audit.append("run-resumed", **facts, **place)
        context.progress.say("resumed", **place)
    try:
        Rounds(context, roster(), state).run()
    except BaseException as error:
        code = error.exit_code if isinstance(error, HqgnetError) else ExitCode.UNEXPECTED
        context.audit.append("run-ended", run=context.run, state="failed", exit_code=int(code))
        raise
    context.audit.append("run-ended", run=context.run, state="completed", exit_code=int(ExitCode.OK))


def _roster(context: RunContext, settings: Mapping[str, Any]) -> Roster:
    federation = str(settings.get("federation", ""))
    registered = partial(registered_name, Path(federation)) if federation else None
    sites = _simulated_sites(context.grid, str(settings.get("simulation-sites", "")))
    return Roster(context, sites, registered)


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("flwr", "torch", "numpy")}
    return {"hqgnet": __version__, "python": platform.python_version(), **packages}


def run_identifier(name: str, run_id: int) -> str:
    """Return what names a run at every site: readable, and no two runs share it."""
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "run"
    return f"{readable}-{run_id % 2**64:016x}"


def _experiment(file: Path, seed: int) -> Experiment:
    if not file.is_file():
        remedy = f"Paths are relative to {Path.cwd()}, where the SuperLink was started; give an absolute one"
        raise ConfigurationError(Problem(str(file), "is not there", remedy))
    experiment = load_experiment(file)
    return experiment if seed < 0 else experiment.model_copy(update={"seed": seed})


def _simulated_sites(grid: Grid, sites: str) -> int | None:
    if not sites:
        return None
    wanted = len(json.loads(sites) if sites.startswith("[") else glob.glob(sites, recursive=True))
    until = time.monotonic() + _NODES_APPEAR_S
    while (nodes := len(persist(lambda: list(grid.get_node_ids()), until))) != wanted:
        if time.monotonic() > until:
            what = f"{wanted} site files match, but Flower simulates {nodes} sites"
            remedy = f'Give flwr run --federation-config "num-supernodes={wanted}"'
            raise ConfigurationError(Problem("simulation-sites", what, remedy))
        time.sleep(0.1)
    return wanted
