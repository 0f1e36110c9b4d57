"""Rank 0's side: starts the further processes, leads them through steps, and tells when one fails."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import hqgnet
from hqgnet.config import Experiment, PhaseName
from hqgnet.errors import Problem, RunFailedError
from hqgnet.ranks import Ranks, spread, working
from hqgnet.tied import tied
from hqgnet.training.parallel.dealing import DealtBatches, Shapes
from hqgnet.training.parallel.follower import parameters_of, state_of
from hqgnet.training.parallel.group import join_group
from hqgnet.training.parallel.rank import OUT_OF_MEMORY, READY, Place
from hqgnet.training.phase import Phase
from hqgnet.training.protocols import Batches

_PATIENCE_S = 300.0
# Python's start with torch and monai, on a busy machine.
_START_S = 300.0
_LAST_WORDS_S = 3.0
_POLL_S = 0.05


class Team:
    """Processes that train together with this one, a device each. One team a process at a time.

    They stay between rounds, waiting on a pipe, and end when this process does, however it ends.

    Args:
        devices: The first is this process's.
        memory_fraction: Of a GPU's memory that each may take; None for all.
        patience_s: How long one process waits for another within a step.

    Raises:
        RunFailedError: If a process does not start.
    """

    def __init__(
        self,
        devices: Sequence[torch.device],
        *,
        memory_fraction: float | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.devices = tuple(devices)
        self.memory_fraction = memory_fraction
        self._ranks = Ranks(0, len(self.devices))
        self._patience_s = patience_s
        self._folder = Path(tempfile.mkdtemp(prefix="hqgnet-ranks-"))
        self._processes: list[subprocess.Popen[str]] = []
        store = self._folder / "store"
        try:
            for rank, device in enumerate(self.devices[1:], start=1):
                place = Place(
                    rank=rank,
                    count=len(self.devices),
                    device=str(device),
                    store=str(store),
                    patience_s=patience_s,
                    threads=torch.get_num_threads(),
                    memory_fraction=memory_fraction,
                )
                self._processes.append(_started(place))
            with self._told_clearly():
                for process in self._processes:
                    _wait_until_ready(process)
                join_group(self._ranks, self.devices[0], store, patience_s)
        except BaseException:
            self.close()
            raise

    @property
    def process_ids(self) -> list[int]:
        """Of the further processes."""
        return [process.pid for process in self._processes]

    @property
    def is_whole(self) -> bool:
        """Whether all of them live."""
        return bool(self._processes) and all(process.poll() is None for process in self._processes)

    @contextmanager
    def leading(
        self, networks: nn.Module, experiment: Experiment, name: PhaseName, phase: Phase, batches: Batches
    ) -> Iterator[Batches]:
        """Give every process this one's weights, and hand out batches in shares inside the context.

        Args:
            networks: Of which every parameter and buffer is sent.
            experiment: Whose they are.
            name: Of the phase.
            phase: Made ready; its steps are to be taken with the batches that are yielded.
            batches: The site's.

        Raises:
            RunFailedError: If a process ends or does not answer. The team is closed then.
            MemoryError: If the memory of one did not suffice; likewise.
        """
        with self._told_clearly(), working(self._ranks):
            self._tell(
                do="train",
                experiment=experiment.to_json(),
                phase=name,
                parameters=parameters_of(phase),
            )
            spread(state_of(networks))
            yield DealtBatches(batches, self.devices[0], self._announce)

    def close(self) -> None:
        """End the processes, and leave their group."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        self._processes = []
        if dist.is_initialized():
            dist.destroy_process_group()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _announce(self, step: int, shapes: Shapes) -> None:
        self._tell(do="step", index=step, shapes=shapes)

    def _tell(self, **command: Any) -> None:
        line = json.dumps(command) + "\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()

    @contextmanager
    def _told_clearly(self) -> Iterator[None]:
        """Turn what an exchange with a dead or silent process raises into an error that says so."""
        try:
            yield
        except BaseException as error:
            ended = self._ended() if isinstance(error, RuntimeError | ConnectionError) else {}
            self.close()
            if OUT_OF_MEMORY in ended.values():
                raise MemoryError("a further process of the training ran out of memory") from error
            if ended or isinstance(error, dist.DistError | ConnectionError) or _is_exchange(error):
                raise RunFailedError(self._problem(ended)) from error
            raise

    def _ended(self) -> dict[str, int]:
        """Return the exit codes, by device, of processes that have ended, which may take them a moment."""
        until = time.monotonic() + _LAST_WORDS_S
        while time.monotonic() < until and self.is_whole:
            time.sleep(_POLL_S)
        devices = self.devices[1:]
        return {
            f"process {rank} ({device})": process.returncode
            for rank, (device, process) in enumerate(zip(devices, self._processes, strict=False), start=1)
            if process.poll() is not None
        }

    def _problem(self, ended: dict[str, int]) -> Problem:
        if not ended:
            what = f"a process did not answer within {self._patience_s:g} s"
            return Problem(
                "devices", what, "Look at what the site's log says; name fewer devices if it recurs"
            )
        told = ", ".join(f"{who} {_end_told(code)}" for who, code in ended.items())
        remedy = "Its last words stand in the site's log. The next round starts it again"
        return Problem("devices", told, remedy)


_OPEN: list[Team] = []


def team_of(devices: Sequence[torch.device], memory_fraction: float | None) -> Team:
    """Return this process's team for ``devices``: the one that is there, or a fresh one in its place.

    Args:
        devices: The first is this process's.
        memory_fraction: Of a GPU's memory that each may take; a team that may take another ends.

    Raises:
        RunFailedError: If a process does not start.
    """
    if _OPEN:
        team = _OPEN[0]
        fits = (team.devices, team.memory_fraction) == (tuple(devices), memory_fraction)
        if not (fits and team.is_whole):
            close_team()
    if not _OPEN:
        _OPEN.append(Team(devices, memory_fraction=memory_fraction))
    return _OPEN[0]


@atexit.register
def close_team() -> None:
    """End this process's team, if there is one."""
    while _OPEN:
        _OPEN.pop().close()


def _started(place: Place) -> subprocess.Popen[str]:
    # The same code as this process runs, wherever it was found.
    paths = [str(Path(hqgnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-P", "-m", "hqgnet.training.parallel.rank", place.to_json()]
    return subprocess.Popen(
        tied(command, signal.SIGKILL),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
    )


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], _START_S)
    if not readable or process.stdout.readline().strip() != READY:
        raise ConnectionError("a further process of the training did not start")


def _is_exchange(error: BaseException) -> bool:
    """Gloo raises plain RuntimeErrors; what it says names the place in its code."""
    return isinstance(error, RuntimeError) and "gloo" in str(error).lower()


def _end_told(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
