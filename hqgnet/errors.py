"""Errors for the person who must act: what happened, where, and what to do.

Every command ends with one of the numbered exit codes below; each has its paragraph in
``docs/exit-codes.md``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes shared by ``hqgnet``, ``hqgnet-client`` and ``hqgnet-server``."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 10
    DATA = 11
    MODEL_FILE = 12
    OUTPUT = 13
    AUDIT = 14
    RUN_FAILED = 20
    QUORUM_NOT_MET = 21
    SERVER_DOWN = 22
    INTERRUPTED = 130
    PIPE_CLOSED = 141


@dataclass(frozen=True)
class Problem:
    """One mistake in a configuration file or in a data folder.

    Attributes:
        where: File, or file and key path (``site.yaml: images.lq``).
        what: What is wrong, with the offending value where it helps.
        remedy: What the reader should do about it.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.where}: {self.what}. {self.remedy}"


class HqgnetError(Exception):
    """Base of all errors that are meant to be read by a person; carries an exit code.

    Args:
        problems: One or more problems, all that were found, in the order of discovery.
    """

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigurationError(HqgnetError):
    """A YAML file (experiment or site) or a combination of options cannot be used."""

    exit_code = ExitCode.CONFIGURATION


class DataError(HqgnetError):
    """A site's folder, image or mask cannot be used."""

    exit_code = ExitCode.DATA


class ModelFileError(HqgnetError):
    """A model file is missing, truncated, or of another kind than expected."""

    exit_code = ExitCode.MODEL_FILE


class OutputError(HqgnetError):
    """Results cannot be written."""

    exit_code = ExitCode.OUTPUT


class AuditError(HqgnetError):
    """An audit log is not as it was written."""

    exit_code = ExitCode.AUDIT


class RunFailedError(HqgnetError):
    """A training run ended without a result."""

    exit_code = ExitCode.RUN_FAILED


class QuorumError(RunFailedError):
    """Too few sites answered for a round to count."""

    exit_code = ExitCode.QUORUM_NOT_MET


class ServerDownError(HqgnetError):
    """The federation's server does not answer."""

    exit_code = ExitCode.SERVER_DOWN
