"""Reading a Dockerfile: its instructions, in order, by stage."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction; continued lines are joined."""

    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The command of an exec form, such as ``CMD ["up"]``."""
        words = json.loads(self.text[self.text.index("[") :])
        assert all(isinstance(word, str) for word in words)
        return list(words)


class Dockerfile:
    """A parsed Dockerfile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        joined = "\n".join(lines).replace("\\\n", " ")
        self.instructions: list[Instruction] = []
        stage = -1
        for line in filter(None, (line.strip() for line in joined.splitlines())):
            name, _, text = line.partition(" ")
            stage += name == "FROM"
            self.instructions.append(Instruction(stage, name, text.strip()))

    @property
    def final(self) -> list[Instruction]:
        """The instructions of the last stage, which becomes the image."""
        return [step for step in self.instructions if step.stage == self.instructions[-1].stage]

    def last(self, name: str) -> Instruction:
        """Return the last instruction of that name in the image."""
        return [step for step in self.final if step.name == name][-1]

    def all(self, name: str) -> list[Instruction]:
        """Return every instruction of that name."""
        return [step for step in self.instructions if step.name == name]

    @property
    def defaults(self) -> dict[str, str]:
        """Build arguments that have a default."""
        found = (re.fullmatch(r"(\w+)=(\S*)", step.text) for step in self.all("ARG"))
        return {match[1]: match[2] for match in found if match}
