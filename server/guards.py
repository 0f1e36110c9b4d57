"""What the server accepts: an update of this round, from the site that was asked, of the right form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from hqgnet.exchange.arrays import Array, ArrayError, ArraySpec, check_arrays
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import EvaluateRequest, ScoresHeader, TrainRequest, UpdateHeader, digest


class Fault(StrEnum):
    """Why the server leaves a reply out (besides :class:`ArrayFault` and :class:`SiteError`)."""

    NO_REPLY = "no-reply"
    TRANSPORT = "transport-error"
    MALFORMED = "reply-malformed"
    OTHER_ROUND = "reply-of-another-round"
    OTHER_SITE = "reply-of-another-site"
    GROUPS = "other-parameter-groups"
    COUNTS = "image-counts-differ-from-data-card"
    STEPS = "more-steps-than-asked"


class RefusedReplyError(ValueError):
    """A reply is left out of its round.

    Args:
        code: A fault's name, fit for logs.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Expected:
    """What a site's update must look like.

    Attributes:
        site: The site's name.
        card: As it was when the site joined.
        groups: Parameter groups that this site may send in this phase.
        arrays: Names, shapes and types of them.
    """

    site: str
    card: DataCard
    groups: tuple[str, ...]
    arrays: Mapping[str, ArraySpec]


def check_update(
    header: UpdateHeader, arrays: Mapping[str, Array], request: TrainRequest, expected: Expected
) -> None:
    """Check one site's update before it touches the sums.

    Raises:
        RefusedReplyError: With the first fault found.
    """
    asked = (request.run, request.phase, request.round, request.attempt)
    if (header.run, header.phase, header.round, header.attempt) != asked:
        raise RefusedReplyError(Fault.OTHER_ROUND)
    if header.site != expected.site:
        raise RefusedReplyError(Fault.OTHER_SITE)
    if tuple(header.groups) != expected.groups:
        raise RefusedReplyError(Fault.GROUPS)
    card = expected.card
    declared = (digest(card.to_json()), card.lq.train, card.hq.train)
    if (header.card_digest, header.lq_images, header.hq_images) != declared or header.lq_images < 1:
        raise RefusedReplyError(Fault.COUNTS)
    if header.steps > request.steps:
        raise RefusedReplyError(Fault.STEPS)
    try:
        check_arrays(arrays, expected.arrays)
    except ArrayError as error:
        raise RefusedReplyError(error.fault) from error


def check_scores(header: ScoresHeader, request: EvaluateRequest, site: str) -> None:
    """Check whose scores these are.

    Raises:
        RefusedReplyError: If they are of another round, split or site.
    """
    asked = (request.run, request.phase, request.round, request.split)
    if (header.run, header.phase, header.round, header.split) != asked:
        raise RefusedReplyError(Fault.OTHER_ROUND)
    if header.site != site:
        raise RefusedReplyError(Fault.OTHER_SITE)
