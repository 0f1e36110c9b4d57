"""The findings as one page of text, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from client.checks.examination import Examination
from client.checks.finding import Finding, State
from client.checks.leaving import what_leaves

_MARKS: dict[State, str] = {"ok": "ok", "warning": "!", "problem": "X"}
_COLOURS: dict[State, str] = {"ok": "\033[32m", "warning": "\033[33m", "problem": "\033[31m"}
_END_OF_COLOUR = "\033[0m"
_TITLE_WIDTH = 20
_MOST_FILES = 10
_MOST_ALIKE = 10


def as_text(examination: Examination, *, colour: bool) -> str:
    """Return the page: a group a heading, a mark a line, what leaves, and a verdict.

    Args:
        examination: What was found.
        colour: Whether the page goes to a terminal that shows colours.
    """
    name = examination.config.name if examination.config else "site"
    lines = [_printable(f"{name} ({examination.file})")]
    for group, findings in groupby(examination.findings, key=lambda finding: finding.group):
        lines += ["", group, *_group(list(findings), colour)]
    if examination.left_out:
        lines += ["", examination.left_out]
    if examination.config is not None:
        leaving = what_leaves(examination.config, examination.hq_images)
        lines += ["", "What leaves this site", *(f"      {line}" for line in leaving)]
    return "\n".join([*lines, "", _verdict(examination)]) + "\n"


def as_json(examination: Examination) -> str:
    """Return all findings and the data card, for programs."""
    card = examination.card
    content = {
        "site": examination.config.name if examination.config else None,
        "file": str(examination.file),
        "exit_code": int(examination.exit_code),
        "findings": [asdict(finding) for finding in examination.findings],
        "card": None if card is None else json.loads(card.to_json()),
    }
    return json.dumps(content, indent=2) + "\n"


def _group(findings: Sequence[Finding], colour: bool) -> Iterator[str]:
    """Of mistakes with one remedy, such as a bad pattern for every file name, the first stand for all."""
    alike: dict[tuple[str, str], int] = {}
    for finding in findings:
        key = finding.title, finding.remedy
        alike[key] = alike.get(key, 0) + 1
        if alike[key] <= _MOST_ALIKE:
            yield from _finding(finding, colour)
    for (title, remedy), count in alike.items():
        if count > _MOST_ALIKE:
            yield f"      and {count - _MOST_ALIKE} more of: {title} ({remedy})"


def _finding(finding: Finding, colour: bool) -> Iterator[str]:
    mark = f"{_MARKS[finding.state]:<2}"
    if colour:
        mark = f"{_COLOURS[finding.state]}{mark}{_END_OF_COLOUR}"
    yield f"  {mark}  {finding.title:<{_TITLE_WIDTH}} {_printable(finding.detail)}"
    for file in finding.files[:_MOST_FILES]:
        yield f"        {_printable(file)}"
    if len(finding.files) > _MOST_FILES:
        yield f"        and {len(finding.files) - _MOST_FILES} more (all of them: --json)"
    if finding.remedy:
        yield f"      -> {_printable(finding.remedy)}"


def _verdict(examination: Examination) -> str:
    states = [finding.state for finding in examination.findings]
    problems, warnings = states.count("problem"), states.count("warning")
    seen = f"; {_plural(warnings, 'warning')} to look at (!)" if warnings else ""
    if not problems:
        return f"Verdict: ready, nothing to mend{seen}"
    code = examination.exit_code
    mend = f"{_plural(problems, 'problem')} to mend (X){seen}"
    return f"Verdict: not ready, {mend} (exit code {int(code)}: {code.name.lower()})"


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _printable(text: str) -> str:
    """File names and a stranger's certificate may hold characters that steer a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
