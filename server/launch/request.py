"""What ``hqgnet-server run`` is asked to do, checked, and turned into a run configuration."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path

from hqgnet.config import experiment_from_json, load_experiment
from hqgnet.errors import ConfigurationError, Problem
from server.federation import Federation
from server.flower_app import Setting
from server.run_directory import RunDirectory
from server.tracking.choice import track_setting

# What a file system takes as a folder's name is 255 bytes.
_LONGEST_NAME = 200
_shown = reprlib.Repr().repr


@dataclass(frozen=True)
class RunRequest:
    """What to run, and how stubbornly.

    Attributes:
        experiment: YAML file; may be left out with ``resume`` and ``attach``.
        name: Of the run's folder; None: the experiment's.
        seed: Instead of the experiment's; None keeps that.
        overwrite: Replace a run that is there.
        resume: Go on with the run of this name.
        attach: Only follow the run of this name.
        restarts: How often a run that died is brought back.
        patience_s: For how long a SuperLink that does not answer is waited for, in seconds.
        detach: Submit and return.
        track: Trackers, as :func:`server.tracking.choice.choose` reads them.
        federation: The federation's YAML file, by which the run tells whose key a node has.
    """

    experiment: Path | None = None
    name: str | None = None
    seed: int | None = None
    overwrite: bool = False
    resume: str | None = None
    attach: str | None = None
    restarts: int = 3
    patience_s: float = 600.0
    detach: bool = False
    track: tuple[str, ...] = ()
    federation: Path | None = None


def directory_of(federation: Federation, request: RunRequest) -> RunDirectory:
    """Return the folder of the run.

    Raises:
        ConfigurationError: If no run is named, it cannot be a name, or no run of that name is there; or if
            something is asked for that a run which is there has settled.
    """
    idle = _idle(request)
    if idle:
        which = "resume" if request.resume is not None else "attach"
        what = f"--{which} goes by what the run began with, and {', '.join(idle)} would change nothing"
        raise ConfigurationError(Problem("run", what, "Leave it out, or start a new run with --name"))
    known = request.attach if request.resume is None else request.resume
    name = request.name if known is None else known
    if name is None:
        if request.experiment is None:
            remedy = "Give EXPERIMENT.yaml, or --resume RUN, or --attach RUN"
            raise ConfigurationError(Problem("run", "no experiment is given", remedy))
        name = load_experiment(request.experiment).name
    if not name or Path(name).name != name or name.startswith(".") or len(name.encode()) > _LONGEST_NAME:
        remedy = f"Give a plain name of at most {_LONGEST_NAME} letters, no path"
        raise ConfigurationError(Problem("run", f"{_shown(name)} is no name", remedy))
    directory = RunDirectory(federation.runs / name)
    if known is not None and not directory.status.exists():
        remedy = f"See what lies in {federation.runs}"
        raise ConfigurationError(Problem(str(directory.root), "holds no run", remedy))
    return directory


def settings_of(request: RunRequest, directory: RunDirectory, *, again: bool) -> dict[str, Setting]:
    """Return the run configuration.

    Args:
        request: What is asked.
        directory: Of the run.
        again: Go on with what is there; otherwise begin.

    Raises:
        ConfigurationError: If the experiment cannot be used, or is not the one that the run began with, or a
            tracker cannot be used.
    """
    settings: dict[str, Setting] = {"run-dir": str(directory.root), **track_setting(request.track)}
    if request.federation is not None:
        settings["federation"] = str(request.federation.absolute())
    if again and _stored(directory).exists():
        if request.experiment is not None:
            _check_equal(request.experiment, request.seed, _stored(directory))
        return settings | {"experiment": str(_stored(directory)), "resume": True}
    if request.experiment is None:
        remedy = "It ended before it began: start it anew with its experiment and --overwrite"
        raise ConfigurationError(Problem(str(_stored(directory)), "is missing", remedy))
    load_experiment(request.experiment)
    return settings | {
        "experiment": str(request.experiment.absolute()),
        "seed": -1 if request.seed is None else request.seed,
        # What stood there is cleared away before the run is submitted.
        "overwrite": True,
    }


def _idle(request: RunRequest) -> list[str]:
    """Return options that would be passed over in silence."""
    given = {
        "--name": request.name is not None,
        "--overwrite": request.overwrite,
        # With an experiment a seed is held against the run's.
        "--seed": request.seed is not None and request.experiment is None,
    }
    if request.attach is not None:
        given |= {"EXPERIMENT.yaml": request.experiment is not None, "--seed": request.seed is not None}
        given |= {"--detach": request.detach, "--track": bool(request.track)}
    elif request.resume is None:
        return []
    return [option for option, is_given in given.items() if is_given]


def _stored(directory: RunDirectory) -> Path:
    return directory.root / "experiment.json"


def _check_equal(given: Path, seed: int | None, stored: Path) -> None:
    then = experiment_from_json(stored.read_text(encoding="utf-8"), str(stored)).model_dump(mode="json")
    now = load_experiment(given).model_dump(mode="json")
    # A seed of the command line stands in the stored one only.
    now["seed"] = then["seed"] if seed is None else seed
    differing = sorted(key for key in then if then[key] != now[key])
    if differing:
        what = f"differs from the run's experiment in {', '.join(differing)}"
        raise ConfigurationError(Problem(str(given), what, "Leave it out, or start a new run with --name"))
