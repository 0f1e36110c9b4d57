"""What is asked of a site and what it answers, free of Flower."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from hqgnet.exchange.arrays import Array, Arrays
from hqgnet.exchange.update import SiteError

Kind = Literal["train", "evaluate", "query"]


@dataclass(frozen=True)
class Asked:
    """A message from the server, not yet trusted.

    Attributes:
        kind: Which of Flower's three message types.
        text: The request in JSON, or whatever came in its place.
        arrays: What travels beside it.
    """

    kind: Kind
    text: object
    arrays: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """A site's answer: a header with what stands beside it, or a refusal by code.

    Attributes:
        header: JSON; None for a refusal.
        arrays: An update; None where none was asked for.
        guidance: Mean v_z ``(64,)``; None where it was not asked for or stays at home.
        code: Why the site declines; None for an answer.
        audit_head: Hash of the site's latest audit entry, which anchors its chain in the server's; beside a
            refusal too, unless the log itself cannot be written.
    """

    header: str | None = None
    arrays: Arrays | None = None
    guidance: Array | None = None
    code: SiteError | None = None
    audit_head: str | None = None


Act = Callable[[Asked], Answered]
"""Does what is asked, in this process or in another; never raises for what the request brings about."""
