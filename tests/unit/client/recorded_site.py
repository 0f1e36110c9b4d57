"""A site as the governor's tests see it: its YAML, what it answered once, its audit, and bundles of code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from client.message import Answered, Asked
from hqgnet.exchange.audit import verify
from hqgnet.exchange.update import ScoresHeader, read_message
from hqgnet.scores import SiteScores

SiteWith = Callable[..., Path]
Pack = Callable[[Mapping[str, str]], bytes]


class Recorded:
    """Answers as a real site did, and remembers what it was asked."""

    def __init__(self, answers: dict[str, Answered]) -> None:
        self.answers = answers
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked) -> Answered:
        self.asked.append(asked)
        return self.answers[asked.kind]

    def change(self, kind: str, /, **header: Any) -> None:
        """Let the site answer with another header."""
        answer = self.answers[kind]
        self.answers[kind] = replace(answer, header=json.dumps(json.loads(answer.header or "") | header))


def write_site(original: Path, folder: Path, **keys: Any) -> Path:
    """Write a site's YAML with other keys into a folder of its own."""
    settings = yaml.safe_load(original.read_text())
    settings["images"] = {name: str(original.parent / value) for name, value in settings["images"].items()}
    if "file" in settings.get("split", {}):
        settings["split"]["file"] = str(original.parent / settings["split"]["file"])
    folder.mkdir(exist_ok=True)
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(settings | keys))
    return file


def pack_bundle(files: Mapping[str, str]) -> bytes:
    """Make a bundle of the form that Flower's builder gives it."""
    lines = [
        f"{name},{hashlib.sha256(text.encode()).hexdigest()},{len(text) * 8}" for name, text in files.items()
    ]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo(".info/CONTENT"), "\n".join(lines))
    return packed.getvalue()


def events(file: Path) -> list[dict[str, Any]]:
    """The site's audit, checked."""
    log = file.parent / "work" / "audit.jsonl"
    verify(log)
    return [json.loads(line) for line in log.read_text().splitlines()]


def refusal(file: Path) -> dict[str, Any]:
    """What the audit's last entry says of a refusal."""
    last = events(file)[-1]
    assert last["event"] == "refused"
    facts: dict[str, Any] = last["facts"]
    return facts


def bare(answered: Answered) -> Answered:
    """An answer without the hash of the audit's entry about it."""
    return replace(answered, audit_head=None)


def scores_of(answered: Answered) -> tuple[SiteScores, ScoresHeader]:
    """The scores that would leave, and the header around them."""
    header = read_message(answered.header, ScoresHeader)
    return SiteScores.from_json(header.scores), header
