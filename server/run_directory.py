"""Where a run's results lie, and that no run overwrites another by accident.

::

    runs/<name>/
      experiment.json       what was run, with every default spelled out
      models/               pretrain, enhance, cooperate, best (.safetensors): fit for ``hqgnet enhance``
      metrics.jsonl         a row per site and evaluation, and their mean over sites
      rounds.jsonl          a row per round: who took part, who did not and why, losses, seconds, bytes
      table.txt table.json  the final table, on every site's test split
      choice.json           which round's model is the best, and why
      progress.jsonl        events as they happen, followed by ``hqgnet-server simulate``
      status.json           running, completed or failed, with the reason
      audit.jsonl           what was sent, accepted and published, by digest (:mod:`hqgnet.exchange.audit`)
      report.html           the page of ``hqgnet-server report``
      tensorboard/          curves, with ``--track tensorboard``: made from metrics.jsonl and rounds.jsonl
      state/                all that is needed to go on after the latest round, and after the one before
      logs/                 what Flower wrote
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqgnet.errors import DataError, OutputError, Problem
from hqgnet.files import make_folder, remove_unfinished, write_atomically

_OWN = (
    "experiment.json",
    "models",
    "metrics.jsonl",
    "rounds.jsonl",
    "table.txt",
    "table.json",
    "choice.json",
    "progress.jsonl",
    "status.json",
    "audit.jsonl",
    "report.html",
    "tensorboard",
    "state",
)
_LOGS = "logs"
_LOCK = "run.lock"
_BEGUN_AFRESH = (
    "rounds.jsonl",
    "metrics.jsonl",
    "choice.json",
    "table.txt",
    "table.json",
    "report.html",
    "tensorboard",
    "models",
    "state",
)


@dataclass(frozen=True)
class RunDirectory:
    """Names the files of one run."""

    root: Path

    @property
    def models(self) -> Path:
        """Model files."""
        return self.root / "models"

    @property
    def state(self) -> Path:
        """All that is needed to go on after the latest round."""
        return self.root / "state" / "latest.safetensors"

    @property
    def spool(self) -> Path:
        """Updates of the round that is under way."""
        return self.root / "state" / "spool"

    @property
    def audit(self) -> Path:
        """The server's audit log."""
        return self.root / "audit.jsonl"

    @property
    def experiment(self) -> Path:
        """What is run."""
        return self.root / "experiment.json"

    @property
    def logs(self) -> Path:
        """What Flower's processes wrote."""
        return self.root / _LOGS

    @property
    def progress(self) -> Path:
        """Events as they happen."""
        return self.root / "progress.jsonl"

    @property
    def status(self) -> Path:
        """How the run stands."""
        return self.root / "status.json"

    def identifier(self) -> str:
        """Return the name under which the sites know the run, once it has had a round.

        Raises:
            DataError: If no round is on record.
        """
        try:
            with (self.root / "rounds.jsonl").open("rb") as stream:
                row = row_of(stream.readline())
        except FileNotFoundError:
            row = None
        if row is None:
            raise DataError(Problem(str(self.root / "rounds.jsonl"), "holds no round", "Run it again"))
        return str(row["run"])

    def check_free(self, *, overwrite: bool) -> None:
        """Make sure that nothing of another run would be lost.

        Raises:
            OutputError: If the folder holds a run and ``overwrite`` is not given, is no folder of a run at
                all, or cannot be looked at.
        """
        try:
            if not self.root.exists():
                return
            if not self.root.is_dir():
                raise OutputError(Problem(str(self.root), "is not a folder", "Give another --name or --runs"))
            present = {entry.name for entry in self.root.iterdir()} - {_LOGS, _LOCK}
        except OSError as error:
            what = f"cannot be used ({error.strerror or error})"
            raise OutputError(Problem(str(self.root), what, "Give another --name or --runs")) from error
        if present and not present & set(_OWN):
            what = f"holds {min(present)} and no run"
            raise OutputError(Problem(str(self.root), what, "Give another --name or --runs"))
        if present and not overwrite:
            remedy = "Give another --name, or --overwrite to replace it"
            raise OutputError(Problem(str(self.root), "holds a run already", remedy))

    def prepare(self, *, overwrite: bool) -> None:
        """Make the folder; with ``overwrite``, remove the run that it holds; logs and files of others stay.

        Raises:
            OutputError: If it cannot be made, or holds a run and ``overwrite`` is not given.
        """
        self.check_free(overwrite=overwrite)
        self._clear(_OWN)

    def reopen(self, *, afresh: bool) -> None:
        """Make ready to go on with the run that the folder holds.

        Args:
            afresh: There is nothing to go on with: remove results, but neither events nor the audit log.

        Raises:
            OutputError: If the folder holds something else than a run, or cannot be written.
        """
        self.check_free(overwrite=True)
        self._clear(_BEGUN_AFRESH if afresh else ())
        for folder in (self.root, self.models, self.state.parent):
            remove_unfinished(folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from running this run at the same time, as long as this one lives.

        Raises:
            OutputError: If another one runs it.
        """
        make_folder(self.root)
        with (self.root / _LOCK).open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                remedy = "Wait until it has ended, or stop it"
                raise OutputError(
                    Problem(str(self.root), "is being run by another process", remedy)
                ) from error
            yield

    def prune(self, name: str, keep: Callable[[dict[str, Any]], bool]) -> None:
        """Rewrite a file of lines with those that are kept; a line cut off by a crash is dropped.

        Raises:
            OutputError: If it cannot be written.
        """
        path = self.root / name
        if path.exists():
            lines = path.read_bytes().split(b"\n")[:-1]
            kept = [line + b"\n" for line in lines if (row := row_of(line)) is not None and keep(row)]
            write_atomically(path, b"".join(kept))

    def _clear(self, names: tuple[str, ...]) -> None:
        try:
            for name in names:
                entry = self.root / name
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
            self.models.mkdir(parents=True, exist_ok=True)
            self.state.parent.mkdir(exist_ok=True)
        except OSError as error:
            what = f"cannot be prepared ({error.strerror or error})"
            raise OutputError(
                Problem(str(self.root), what, "Give --runs a folder you may write to")
            ) from error

    def write_json(self, name: str, data: object) -> None:
        """Write a small JSON file atomically."""
        write_atomically(self.root / name, (json.dumps(data, indent=2) + "\n").encode())

    def append(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one line of JSON; a reader sees whole lines.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            with (self.root / name).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, separators=(",", ":")) + "\n")
        except OSError as error:
            what = f"cannot be written ({error.strerror or error})"
            raise OutputError(Problem(str(self.root / name), what, "Free space on that disk")) from error


def row_of(line: bytes) -> dict[str, Any] | None:
    """Return what a line of one of the files holds; None if it is no row: cut off, say."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
