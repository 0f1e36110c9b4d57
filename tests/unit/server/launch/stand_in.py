"""A SuperLink for tests: an object, whose runs are real processes that play ServerApps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from hqgnet.errors import ServerDownError
from server.federation import Federation
from server.flower_app import Setting
from server.launch.control import FlowerControl, FlowerRun

# Plays the ServerApp: a round a step, and then the end that its own command line names.
SERVERAPP = """
import json, os, sys, time
from pathlib import Path
folder, number, end = Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def status(state, code=0, problems=()):
    data = {"state": state, "exit_code": code, "problems": list(problems), "pid": os.getpid()}
    (folder / "new").write_text(json.dumps(data | {"flower_run": number}))
    os.replace(folder / "new", folder / "status.json")
def say(**event):
    with (folder / "progress.jsonl").open("a") as stream:
        stream.write(json.dumps(event) + "\\n")
(folder / "experiment.json").write_text(Path(sys.argv[5]).read_text())
status("running")
say(event="waiting", sites=number)
if end == "die":
    os.kill(os.getpid(), 9)
if end == "long":
    time.sleep(60)
time.sleep(0.3)
quorum = {"where": "round 1", "what": "too few sites", "remedy": "Wait"}
status("failed", 21, [quorum]) if end == "quorum" else status("completed")
"""


class StandIn(FlowerControl):
    """A SuperLink whose runs end as they are told: ``die``, ``quorum``, ``long``, ``never`` or ``good``."""

    def __init__(self, federation: Federation, experiment: Path, *ends: str) -> None:
        super().__init__(federation)
        self.submitted: list[dict[str, Setting]] = []
        self.stopped: list[int] = []
        self.away = 0
        self._ends = list(ends)
        self._experiment = experiment
        self._processes: dict[int, subprocess.Popen[bytes] | None] = {}

    def submit(self, app: Path, settings: Mapping[str, Setting]) -> int:
        self._answer()
        self.submitted.append(dict(settings))
        number, end = len(self.submitted), self._ends.pop(0)
        command = [
            sys.executable,
            "-c",
            SERVERAPP,
            "flwr-serverapp",
            str(settings["run-dir"]),
            str(number),
            end,
        ]
        self._processes[number] = (
            None if end == "never" else subprocess.Popen([*command, str(self._experiment)])
        )
        return number

    def runs(self) -> list[FlowerRun]:
        self._answer()
        return [self.run(number) for number in self._processes]

    def run(self, identifier: int) -> FlowerRun:
        self._answer()
        process = self._processes[identifier]
        over = process is None or process.poll() is not None
        status = "finished:failed" if over else "running"
        return FlowerRun(identifier, "finished:stopped" if identifier in self.stopped else status, 1.0)

    def stop(self, identifier: int) -> None:
        self.stopped.append(identifier)
        process = self._processes[identifier]
        if process is not None:
            process.kill()
            process.wait()

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise ServerDownError([])
