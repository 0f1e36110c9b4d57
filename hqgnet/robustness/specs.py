"""What ``--guides`` names, read and checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqgnet.errors import ConfigurationError, Problem
from hqgnet.robustness.noise import NOISES

PAPER = ("all", "ten", "one", "lq", *NOISES, "stored")
"""What ``paper`` stands for; guides of other modalities (Table VI) have to be named."""

_PLAIN = ("all", "ten", "one", "lq", "stored", *NOISES)
_WITH_PLACE = {"other": "SITE.yaml", "other-lq": "SITE.yaml", "folder": "DIR"}
_ALL = ", ".join((*_PLAIN, *(f"{kind}:{place}" for kind, place in _WITH_PLACE.items()), "paper"))


@dataclass(frozen=True)
class Spec:
    """One set of guides.

    Attributes:
        kind: ``all``, ``ten``, ``one``, ``lq``, ``stored``, a noise, ``other``, ``other-lq`` or ``folder``.
        place: Site file or folder of the last three.
        by_paper: Whether only ``paper`` asked for it.
    """

    kind: str
    place: Path | None = None
    by_paper: bool = False


def read_specs(named: Sequence[str]) -> tuple[Spec, ...]:
    """Read the names; one that is given twice counts once.

    Raises:
        ConfigurationError: With every one that is unknown or lacks its place.
    """
    specs: dict[tuple[str, Path | None], Spec] = {}
    problems = []
    for text in named:
        kind, _, place = text.partition(":")
        if text == "paper":
            for one in PAPER:
                specs.setdefault((one, None), Spec(one, by_paper=True))
        elif text in _PLAIN:
            specs[text, None] = Spec(text)
        elif kind in _WITH_PLACE and place:
            specs[kind, Path(place)] = Spec(kind, Path(place))
        elif kind in _WITH_PLACE:
            remedy = f"Write {kind}:{_WITH_PLACE[kind]}"
            problems.append(Problem("--guides", f"{text} does not say where the images are", remedy))
        else:
            problems.append(Problem("--guides", f"{text!r} is unknown", f"Give some of {_ALL}"))
    if problems:
        raise ConfigurationError(problems)
    return tuple(specs.values())
