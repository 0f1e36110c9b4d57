"""A stranger's view: the commands of ``docs/first-federation.md``, as they stand there, in two shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.consortium import ROOT, free_port

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(600)]
PAGE = ROOT / "docs" / "first-federation.md"
_DONE = "the-block-is-done"
_COMMANDS = {"hqgnet": "hqgnet.cli", "hqgnet-server": "server.cli", "hqgnet-client": "client.cli"}


class Shell:
    """A shell that somebody types into."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, block: str) -> str:
        """Give it a block of commands; return what it printed. A command that fails ends the shell."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(f"{block}\necho {_DONE}\n")
        self._shell.stdin.flush()
        printed = []
        for line in self._shell.stdout:
            if line.strip() == _DONE:
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"a command failed in:\n{block}\nIt printed:\n{''.join(printed)}")

    def end(self) -> None:
        self._shell.kill()
        self._shell.wait()


@pytest.fixture
def shells() -> Iterator[tuple[Path, dict[str, Shell]]]:
    folder = Path(tempfile.mkdtemp(prefix="ff-", dir="/tmp"))
    programs = folder / "bin"
    programs.mkdir()
    for name, module in _COMMANDS.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    opened = {number: Shell(folder, environment) for number in ("1", "2")}
    yield folder, opened
    for shell in opened.values():
        shell.end()
    subprocess.run(["pkill", "-f", str(folder)], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_two_shells_reach_a_finished_federation(shells: tuple[Path, dict[str, Shell]]) -> None:
    folder, opened = shells
    blocks = re.findall(r"^```shell (\d)\n(.*?)^```", PAGE.read_text(), re.S | re.M)
    assert len(blocks) >= 8 and {number for number, _ in blocks} == {"1", "2"}
    port = str(free_port())
    printed = [opened[number].type(block.replace("8443", port)) for number, block in blocks]
    everything = "".join(printed)
    assert "3 sites registered" not in everything and "2 sites registered" in everything
    assert (folder / "runs" / "first" / "models" / "best.safetensors").exists()
    assert everything.count(": whole") == 3
    assert any((folder / "enhanced").iterdir())
    assert "site mean" in everything
