"""What is installed: the versions of what trains and of what talks to the server."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from client.checks.finding import Finding
from hqgnet import __version__

FLOWER = "1.41.0"  # both ends must have the same; pyproject.toml pins it
_OTHERS = ("torch", "monai")


def check_versions() -> list[Finding]:
    """Name what is installed, without importing it; another Flower than the pinned one is a problem."""
    detail = f"hqgnet {__version__}, Python {platform.python_version()}"
    findings = [Finding("Versions and code", "software", "ok", detail), _flower(installed("flwr"))]
    for name in _OTHERS:
        found = installed(name)
        state = Finding("Versions and code", name, "ok", found or "")
        findings.append(state if found else _missing(name))
    return findings


def installed(package: str) -> str | None:
    """Return a package's version; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _flower(found: str | None) -> Finding:
    if found is None:
        return _missing("flwr")
    if found == FLOWER:
        return Finding("Versions and code", "flwr", "ok", found)
    remedy = f"pip install 'flwr[simulation]=={FLOWER}'"
    what = f"is {found}, this software was written for {FLOWER} and works with no other"
    return Finding("Versions and code", "flwr", "problem", what, remedy)


def _missing(name: str) -> Finding:
    remedy = "Install this software again (pip install --constraint constraints.txt .)"
    return Finding("Versions and code", name, "problem", "is not installed", remedy)
