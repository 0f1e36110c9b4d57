"""A federation without a network: a grid that hands messages to the real ClientApp in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from safetensors.torch import load_file

from client.app import app as client_app
from client.site import forget_sites
from hqgnet.config import PHASES, Experiment, PhaseConfig, PhasesConfig
from hqgnet.exchange.audit import AuditLog, verify
from server.app import run_identifier
from server.context import RunContext
from server.progress import Progress
from server.resuming import reopen
from server.roster import Roster
from server.rounds import Rounds
from server.run_directory import RunDirectory

Tamper = Callable[[Message, Message], Message | None]


class FakeGrid(Grid):
    """Answers when it is asked, in the order of the nodes or the reverse, and keeps a record of the wire."""

    def __init__(self, sites: list[Path], tamper: Tamper | None = None, *, backwards: bool = False) -> None:
        self.sites = sites
        self.requests: list[Message] = []
        self.replies: list[Message] = []
        self.offline: set[int] = set()
        self._tamper = tamper or (lambda request, reply: reply)
        self._waiting: dict[str, Message] = {}
        self._backwards = backwards
        self._ids = count()

    def get_node_ids(self) -> Iterable[int]:
        nodes = [1000 + number for number in range(len(self.sites)) if 1000 + number not in self.offline]
        return reversed(nodes) if self._backwards else nodes

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        pushed = []
        for message in messages:
            identifier = str(next(self._ids))
            message.metadata.__dict__["_message_id"] = identifier
            self._waiting[identifier] = message
            self.requests.append(message)
            pushed.append(identifier)
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        ready = []
        for identifier in message_ids:
            message = self._waiting.get(identifier)
            if message is None or (self._backwards and identifier != max(self._waiting, key=int)):
                continue
            del self._waiting[identifier]
            node = message.metadata.dst_node_id
            site = {"site-config": str(self.sites[node - 1000])}
            context = Context(1, node, site, RecordDict(), {})
            torch.manual_seed(torch.seed() % 2**31)
            reply = self._tamper(message, client_app(message, context))
            if reply is not None:
                self.replies.append(reply)
                ready.append(reply)
        return ready

    # The round loop must do without the rest of Flower's Grid: using it fails the test.
    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(self, *args: Any, **kwargs: Any) -> Iterable[Message]:
        raise NotImplementedError


@dataclass
class Federation:
    """What a test sees of a run."""

    grid: FakeGrid
    directory: RunDirectory
    experiment: Experiment
    run_id: str = ""
    files: list[Path] = field(default_factory=list)

    def start(self, *, resume: bool = False) -> None:
        """Run, or go on, in this process."""
        state = reopen(self.directory) if resume else None
        self.run_id = state[0].run if state else run_identifier("test", 1)
        audit = AuditLog(self.directory.audit)
        context = RunContext(
            self.grid, self.experiment, self.run_id, self.directory, Progress(self.directory), audit
        )
        Rounds(context, Roster(context), state).run()

    def model(self, name: str = "cooperate") -> dict[str, torch.Tensor]:
        return load_file(self.directory.models / f"{name}.safetensors")

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.directory.root / name).read_text().splitlines()]

    def audited(self, event: str) -> list[dict[str, Any]]:
        verify(self.directory.audit)
        return [entry["facts"] for entry in self.rows("audit.jsonl") if entry["event"] == event]


@pytest.fixture(scope="session")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Federation]]:
    """Make a federation of the given site files, with fresh private folders, that has not yet run."""
    numbers = count()
    root = tmp_path_factory.mktemp("federations")
    # Flower's runtime sets these before it starts a ServerApp.
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def make(
        experiment: Experiment,
        sites: list[Path],
        tamper: Tamper | None = None,
        *,
        backwards: bool = False,
        unlabelled: frozenset[int] = frozenset(),
    ) -> Federation:
        forget_sites()
        folder = root / f"run-{next(numbers)}"
        files = [
            _with_own_work(file, folder / "sites" / str(number), number not in unlabelled)
            for number, file in enumerate(sites)
        ]
        directory = RunDirectory(folder / "results")
        directory.prepare(overwrite=False)
        grid = FakeGrid(files, tamper, backwards=backwards)
        return Federation(grid, directory, experiment, files=files)

    yield make
    forget_sites()


@pytest.fixture(scope="session")
def federate(assemble: Callable[..., Federation]) -> Callable[..., Federation]:
    """Run a federation; the arguments are those of ``assemble``."""

    def run(*arguments: Any, **options: Any) -> Federation:
        federation = assemble(*arguments, **options)
        federation.start()
        return federation

    return run


@pytest.fixture(scope="session")
def quick_experiment(tiny_experiment: Experiment) -> Experiment:
    """Three phases of two rounds of one step; a round that fails is tried again at once."""
    federation = tiny_experiment.federation.model_copy(update={"retry_pause_s": 0.0})
    experiment = tiny_experiment.model_copy(update={"federation": federation})
    return shortened(experiment, pretrain=2, enhance=2, cooperate=2)


@pytest.fixture(scope="session")
def reference(
    federate: Callable[..., Federation], quick_experiment: Experiment, tiny_site_files: list[Path]
) -> Federation:
    """One run of two sites that several tests look at."""
    return federate(quick_experiment, tiny_site_files)


@pytest.fixture(scope="session")
def alone(
    federate: Callable[..., Federation], quick_experiment: Experiment, tiny_site_files: list[Path]
) -> Federation:
    """One run of the first site alone."""
    return federate(quick_experiment, tiny_site_files[:1])


@pytest.fixture(scope="session")
def shorten() -> Callable[..., Experiment]:
    """Give an experiment other numbers of rounds, each of one step; phases not named are left out."""
    return shortened


def shortened(experiment: Experiment, **rounds: int) -> Experiment:
    lengths = {phase: PhaseConfig(rounds=rounds.get(phase, 0), steps=1) for phase in PHASES}
    return experiment.model_copy(update={"phases": PhasesConfig(**lengths)})


def _with_own_work(file: Path, folder: Path, labelled: bool) -> Path:
    """Copy a site's YAML with absolute folders, an own private folder and a name of its own."""
    settings = yaml.safe_load(file.read_text())
    images = {name: str(file.parent / value) for name, value in settings["images"].items()}
    if not labelled:
        images.pop("masks")
    settings |= {"images": images, "work": str(folder / "work"), "name": f"site-{folder.name}"}
    if "file" in settings.get("split", {}):
        settings["split"]["file"] = str(file.parent / settings["split"]["file"])
    folder.mkdir(parents=True)
    copied = folder / "site.yaml"
    copied.write_text(yaml.safe_dump(settings))
    return copied
