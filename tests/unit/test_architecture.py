"""The plan of the house, as tests: who may import whom, and what a command may load at its start."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import hqgnet

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "hqgnet": {"flwr", "client", "server"},
    "client": {"server"},
    "server": {"client"},
}
FLOWER_PUBLIC = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}


def imported_modules(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_follow_the_arrows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        imported = {name.split(".")[0] for name in imported_modules(file)}
        assert not imported & FORBIDDEN[package], file


@pytest.mark.parametrize("package", ["client", "server"])
def test_only_flowers_public_modules_are_imported(package: str) -> None:
    for file in sorted((ROOT / package).rglob("*.py")):
        flower = {name for name in imported_modules(file) if name.split(".")[0] == "flwr"}
        assert flower <= FLOWER_PUBLIC, file


def test_the_package_and_the_project_have_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == hqgnet.__version__


def test_deploy_and_site_configs_hold_no_package() -> None:
    assert not list((ROOT / "deploy").rglob("*.py"))
    assert not list((ROOT / "site_configs").rglob("__init__.py"))


@pytest.mark.parametrize("command", ["hqgnet.cli", "server.cli", "client.cli"])
def test_help_loads_no_heavy_library(command: str) -> None:
    code = f"""
import sys
import {command} as cli
try:
    cli.main(["--help"])
except SystemExit as end:
    assert end.code in (0, None), end.code
heavy = {{"torch", "monai", "flwr", "numpy", "ray", "scipy"}} & set(sys.modules)
assert not heavy, heavy
"""
    begun = time.monotonic()
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert finished.returncode == 0, finished.stderr
    assert "usage:" in finished.stdout
    # The promise is 1 s on an idle machine; the bound leaves room for a busy one.
    assert time.monotonic() - begun < 3.0
