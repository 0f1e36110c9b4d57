"""A whole consortium on loopback for tests: one server and its hospitals, as the real commands start them.

Nothing here reaches into the programs: it writes the files that a person writes, runs the commands that a
person runs, and sends the signals that a bad night sends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from hqgnet.exchange.audit import verify

ROOT = Path(__file__).parents[2]
TAMPERING = Path(__file__).parent / "tampering"
Fault = dict[str, Any]
FAST = {"threads": 1, "device": "cpu"}


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true value of ``condition``; fail after so many seconds."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds:.0f} s")


class Program:
    """A started command with its output in a file."""

    def __init__(
        self, arguments: list[str], log: Path, environment: Mapping[str, str], prefix: tuple[str, ...] = ()
    ) -> None:
        self.log = log
        self.arguments = arguments
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.arguments} still runs after {seconds} s:\n{self.text[-4000:]}"
            ) from None

    def terminate(self, seconds: float = 30) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.wait(seconds)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


class Consortium:
    """One server and its hospitals.

    Args:
        root: Short, since paths of sockets below it are limited.
        sites: Synthetic site files, one a hospital; copied into the hospitals' kits.
    """

    def __init__(self, root: Path, sites: list[Path], **settings: Any) -> None:
        self.root = root
        self.names = [file.parent.name for file in sites]
        self.port = free_port()
        self.file = root / "federation.yaml"
        self.server: Program | None = None
        self.daemons: dict[str, Program] = {}
        self.runs = root / "runs"
        self.kits = root / "kits"
        self._data = {file.parent.name: file.parent for file in sites}
        server = {"address": f"127.0.0.1:{self.port}", "port": self.port, "health_port": free_port()}
        self.write_federation(server=server | settings.pop("server", {}), **settings)

    def write_federation(self, **settings: Any) -> None:
        before = yaml.safe_load(self.file.read_text()) if self.file.exists() else {"name": "faults"}
        sites = {"sites": [{"name": name} for name in self.names]}
        self.file.write_text(yaml.safe_dump(before | sites | settings))

    def environment(self, faults: Sequence[Fault] = ()) -> dict[str, str]:
        """A clean environment; with ``faults``, one in which they happen (``tampering/sitecustomize.py``)."""
        paths = [str(ROOT)]
        if faults:
            folder = Path(tempfile.mkdtemp(prefix="faults-", dir=self.root))
            shutil.copy(TAMPERING / "sitecustomize.py", folder)
            (folder / "faults.json").write_text(json.dumps(list(faults)))
            paths.insert(0, str(folder))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLWR")}
        own = {"TMPDIR": str(self.root / "tmp"), "OMP_NUM_THREADS": "1"}
        return kept | own | {"PYTHONPATH": os.pathsep.join(paths)}

    def command(self, *arguments: str, seconds: float = 120, code: int | None = 0) -> str:
        """Run one of our commands to its end; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        output = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{arguments} ended with {done.returncode}:\n{output}"
        return output

    # The consortium's engineer

    def provision(self) -> str:
        (self.root / "tmp").mkdir(exist_ok=True)
        bundle = self.root / "hqgnet.fab"
        self.command("server.cli", "bundle", "--out", str(bundle))
        return self.command(
            "server.cli", "provision", str(self.file), "--out", str(self.kits), "--bundle", str(bundle)
        )

    def start_server(self, faults: Sequence[Fault] = ()) -> None:
        self.server = Program(
            ["server.cli", "up", str(self.file)], self.root / "server.log", self.environment(faults)
        )
        seen = self.server.text.count("ready:") if self.server.log.exists() else 0
        wait_until(lambda: self.server and self.server.text.count("ready:") > seen, 60, "the server's start")

    def run(self, experiment: Path | None, *options: str) -> Program:
        files = [] if experiment is None else [str(experiment)]
        arguments = ["server.cli", "run", *files, "--federation", str(self.file), *options]
        return Program(arguments, self.root / "run.log", self.environment())

    # A hospital's engineer

    def site_file(self, name: str) -> Path:
        return self.kits / name / "site.yaml"

    def complete_kit(self, name: str, called: str | None = None, **settings: Any) -> None:
        """Fill in the kit's YAML, under another name if it is to be called so, and lay images beside it."""
        data, file = self._data[name], self.site_file(name)
        for entry in ("images", "masks", "twins", "split.csv"):
            target = file.parent / entry
            if not target.exists():
                copy = shutil.copytree if (data / entry).is_dir() else shutil.copy
                copy(data / entry, target)
        images = {"lq": "images/lq", "hq": "images/hq", "masks": "masks", "twins": "twins"}
        written = yaml.safe_load(file.read_text()) | {"images": images, "split": {"file": "split.csv"}}
        written["name"] = called or name
        written["server"] |= {"reconnect_pause_s": 3}
        file.write_text(yaml.safe_dump(written | FAST | settings))

    def approve(self, name: str) -> str:
        return self.command("client.cli", "approve", str(self.site_file(name)), "--yes")

    def start_site(self, name: str, faults: Sequence[Fault] = (), prefix: tuple[str, ...] = ()) -> Program:
        self.daemons[name] = Program(
            ["client.cli", "up", str(self.site_file(name))],
            self.root / f"{name}.log",
            self.environment(faults),
            prefix,
        )
        return self.daemons[name]

    def join(self, *names: str) -> None:
        """Complete, approve and start these hospitals, or all."""
        for name in names or self.names:
            self.complete_kit(name)
            self.approve(name)
            self.start_site(name)

    def work(self, name: str) -> Path:
        return self.kits / name / "work"

    # What came of it

    def events(self, run: str, kind: str) -> list[dict[str, Any]]:
        return [row for row in rows(self.runs / run / "progress.jsonl") if row["event"] == kind]

    def wait_for_round(self, run: str, number: int, seconds: float = 240) -> None:
        """Wait until so many rounds of all phases are over."""
        done = f"round {number} of {run}"
        wait_until(lambda: len(rows(self.runs / run / "rounds.jsonl")) >= number, seconds, done)

    def rounds(self, run: str) -> list[dict[str, Any]]:
        return rows(self.runs / run / "rounds.jsonl")

    def counted(self, run: str) -> list[dict[str, Any]]:
        """The attempts that reached the quorum: one a round, if no update is counted twice."""
        experiment = json.loads((self.runs / run / "experiment.json").read_text())
        minimum = experiment["federation"]["minimum_sites"]
        return [row for row in self.rounds(run) if len(row["sites"]) >= minimum]

    def check_result(self, run: str, rounds: int) -> None:
        """What every finished run must show, whatever happened on the way."""
        status = json.loads((self.runs / run / "status.json").read_text())
        assert status["state"] == "completed", status
        assert [row["global_round"] for row in self.counted(run)] == list(range(1, rounds + 1))
        for file in [self.runs / run / "audit.jsonl", *self.kits.glob("*/work/audit.jsonl")]:
            assert verify(file).entries > 0

    def stop(self) -> None:
        for program in [*self.daemons.values(), *([self.server] if self.server else [])]:
            with suppress(AssertionError):
                program.terminate()
            program.kill()


def rows(file: Path) -> list[dict[str, Any]]:
    """Whole lines of a JSONL file; none where there is none yet."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]


def pids(*marks: str) -> list[int]:
    """Processes whose command line holds all these texts."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if line and all(mark in line for mark in marks):
                found.append(int(entry.name))
    return found


@contextmanager
def stopped_at_the_end(consortium: Consortium) -> Iterator[Consortium]:
    try:
        yield consortium
    finally:
        consortium.stop()
