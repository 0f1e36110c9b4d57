"""The ServerApp: builds the run from Flower's run configuration, starts it, and says how it ended."""

from __future__ import annotations

import glob
import json
import logging
import re
import time
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from hqgnet.config import Experiment, load_experiment
from hqgnet.errors import ConfigurationError, ExitCode, HqgnetError, Problem, RunFailedError
from server.progress import Progress
from server.roster import Roster
from server.rounds import Rounds
from server.run_directory import RunDirectory

app = ServerApp()
LOGGER = logging.getLogger("hqgnet.server")
_NODES_APPEAR_S = 30.0


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment that the run configuration names.

    Its keys: ``experiment`` (YAML file), ``run-dir`` (empty: ``runs/<experiment's name>``), ``seed``
    (negative: the experiment's), ``overwrite``, and ``simulation-sites`` (a glob pattern or JSON list of
    site files; empty outside simulations). Paths are relative to the folder in which the SuperLink was
    started.

    Raises:
        HqgnetError: After it has been written to the run directory's ``status.json``, so that Flower marks
            the run as failed.
    """
    settings = context.run_config
    experiment = _experiment(Path(str(settings["experiment"])), int(str(settings.get("seed", -1))))
    directory = RunDirectory(Path(str(settings.get("run-dir", "")) or f"runs/{experiment.name}").absolute())
    directory.prepare(overwrite=bool(settings.get("overwrite", False)))
    directory.write_json("experiment.json", json.loads(experiment.to_json()))
    progress = Progress(directory)
    progress.status("running")
    try:
        exactly = _simulated_sites(grid, str(settings.get("simulation-sites", "")))
        run = run_identifier(directory.root.name, context.run_id)
        roster = Roster(grid, experiment, run, progress, exactly)
        Rounds(grid, experiment, run, directory, progress, roster).run()
    except HqgnetError as error:
        progress.status("failed", error)
        raise
    except Exception as error:
        LOGGER.exception("the run failed")
        problem = Problem("the run", f"failed unexpectedly ({type(error).__name__})", "Look at its log")
        progress.status("failed", RunFailedError(problem))
        raise
    progress.status("completed", code=ExitCode.OK)


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
    begun = time.monotonic()
    while (nodes := len(list(grid.get_node_ids()))) != wanted:
        if time.monotonic() - begun > _NODES_APPEAR_S:
            what = f"{wanted} site files match, but Flower simulates {nodes} sites"
            remedy = f'Give flwr run --federation-config "num-supernodes={wanted}"'
            raise ConfigurationError(Problem("simulation-sites", what, remedy))
        time.sleep(0.1)
    return wanted
