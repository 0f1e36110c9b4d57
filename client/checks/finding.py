"""What a check finds: one line of the page, with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from hqgnet.errors import ExitCode, Problem

State = Literal["ok", "warning", "problem"]
Group = Literal[
    "Site file", "Images", "Machine", "Clock", "Certificates and key", "Server", "Versions and code"
]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: Heading under which it stands.
        title: What was looked at, in a word or two.
        state: Whether it is well, should be looked at, or must be mended before a run.
        detail: What was found.
        remedy: What the reader should do; empty where all is well.
        files: Names of images, masks or twins that it is about. They stay at the hospital.
    """

    group: Group
    title: str
    state: State
    detail: str
    remedy: str = ""
    files: tuple[str, ...] = ()


def from_problem(group: Group, title: str, problem: Problem) -> Finding:
    """Return one of our errors as a finding that must be mended."""
    return Finding(group, title, "problem", f"{problem.where}: {problem.what}", problem.remedy)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return what the command ends with: warnings are allowed, problems are not.

    Problems of the images alone give ``data``; any other, with or without them, gives ``configuration``.
    """
    groups = {finding.group for finding in findings if finding.state == "problem"}
    if not groups:
        return ExitCode.OK
    return ExitCode.DATA if groups == {"Images"} else ExitCode.CONFIGURATION
