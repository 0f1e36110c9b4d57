"""What every process of Flower's that we start needs: its programs, its environment, a free port."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
from pathlib import Path

from hqgnet.errors import ConfigurationError, Problem


def executable(name: str) -> str:
    """Return the path of one of Flower's programs, the one of this environment first.

    Raises:
        ConfigurationError: If it is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        remedy = "Install the package's dependencies (flwr[simulation]) in this environment"
        raise ConfigurationError(Problem(name, "is not installed", remedy))
    return found


def environment(home: Path) -> dict[str, str]:
    """Return the environment of Flower's processes: an own home, no calls to the maker, nothing installed.

    Args:
        home: ``FLWR_HOME``: connections, unpacked bundles and caches lie there.
    """
    # Our packages may run from a working tree that is not installed.
    tree = Path(__file__).resolve().parents[1]
    paths = [] if tree == Path(sysconfig.get_path("purelib")).resolve() else [str(tree)]
    paths += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(paths),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }


def free_port() -> int:
    """Return a TCP port that is free on loopback at this moment."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
