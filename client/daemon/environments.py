"""What the daemon's processes find in their environment: each no more than it needs."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import sysconfig
from pathlib import Path

from hqgnet.errors import ConfigurationError, Problem

FLOWER = "1.41.0"
"""The Flower whose programs have been read. Those of another one might run a bundle by another way."""

_FLOWER = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    "PYTHONUNBUFFERED": "1",
}
_KEPT = {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER"}
_KEPT_PREFIXES = ("CUDA_", "LC_", "MKL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTORCH_", "TORCH_")


def flower_program(name: str) -> list[str]:
    """Return the command that runs one of Flower's programs.

    Raises:
        ConfigurationError: If it is not installed.
    """
    flower = importlib.metadata.distribution("flwr")
    if not flower.entry_points.select(group="console_scripts", name=name):
        raise ConfigurationError(Problem(name, "is not installed", f"pip install flwr=={FLOWER}"))
    # -P: no folder that happens to be the working one may lend its modules.
    return [sys.executable, "-P", "-m", "client.daemon.flower", name]


def node_environment(home: Path) -> dict[str, str]:
    """Return the SuperNode's environment: the daemon's, with the proxies through which a site may have to go.

    Args:
        home: Flower's folder at the site.
    """
    return {**os.environ, **_FLOWER, "FLWR_HOME": str(home), "PYTHONPATH": _own_path()}


def courier_environment(home: Path, programs: Path) -> dict[str, str]:
    """Return the environment of the process that starts couriers, and of these.

    Args:
        home: Flower's folder at the site.
        programs: The only folder in which programs are found by name: Flower starts what a server's message
            calls for, and nothing else than a courier is to be started.
    """
    return {
        **_few(),
        **_FLOWER,
        "FLWR_HOME": str(home),
        "PATH": str(programs),
        "PYTHONPATH": _own_path(),
    }


def worker_environment(code: Path) -> dict[str, str]:
    """Return the environment of the process that trains: no proxy, no secret, the approved code first.

    Args:
        code: Folder of the approved code.
    """
    return {
        **_few(),
        "PYTHONPATH": os.pathsep.join([str(code), *_python_path()]),
        # Nothing is to be found beside the approved files but these.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _few() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def _own_path() -> str:
    # Our packages may run from a working tree that is not installed.
    tree = Path(__file__).resolve().parents[2]
    paths = [] if tree == Path(sysconfig.get_path("purelib")).resolve() else [str(tree)]
    return os.pathsep.join([*paths, *_python_path()])


def _python_path() -> list[str]:
    return [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
