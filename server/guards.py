"""What the server accepts: an update of this round, from the site that was asked, of the right form."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from hqgnet.errors import HqgnetError
from hqgnet.exchange.arrays import (
    Array,
    ArrayError,
    Arrays,
    ArraySpec,
    check_arrays,
    distance,
    is_statistic,
)
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import EvaluateRequest, ScoresHeader, TrainRequest, UpdateHeader, digest

LOGGER = logging.getLogger("hqgnet.server")
_FEWEST_TO_JUDGE = 3
_ROUNDS_REMEMBERED = 3


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
    NORM = "norm-outlier"
    CUES = "cues-implausible"


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


@contextmanager
def distrusted() -> Iterator[None]:
    """Turn whatever a reply brings about into a refusal of that reply: one bad reply never ends a run.

    Raises:
        RefusedReplyError: For anything but our own errors, which are not of the reply's making.
    """
    try:
        yield
    except (RefusedReplyError, HqgnetError):
        raise
    except ArrayError as error:
        raise RefusedReplyError(error.fault) from error
    except Exception as error:
        # Its text may repeat what the reply holds.
        LOGGER.warning("a reply cannot be read (%s)", type(error).__name__)
        raise RefusedReplyError(Fault.MALFORMED) from error


def moved(update: Arrays, sent: Arrays) -> float:
    """Return how far an update moves the model: L2 over all float parameters but running statistics.

    Running means and variances follow activations, which may grow a hundredfold where weights hardly move:
    the variance of a single layer would decide.
    """
    return distance({name: array for name, array in update.items() if not is_statistic(name)}, sent)


class NormGuard:
    """Finds updates that move the model much further than the others do.

    What counts is how far an update has moved (:func:`moved`). It is held against the median of the distances
    of the same round and of the last three rounds of the phase, so that two sites are enough from the second
    round on. Fewer than three distances are no measure.

    Args:
        limit: How many times the median a distance may be.
        history: Distances accepted in the latest rounds, to go on with.
    """

    def __init__(self, limit: float, history: Iterable[Iterable[float]] = ()) -> None:
        self._limit = limit
        self._history = [list(distances) for distances in history]

    @property
    def history(self) -> list[list[float]]:
        """Distances accepted in the latest rounds of the phase."""
        return [list(distances) for distances in self._history]

    def begin_phase(self) -> None:
        """Forget; phases move the model at different speeds."""
        self._history = []

    def outliers(self, distances: Mapping[str, float]) -> set[str]:
        """Return the sites whose updates are to be left out.

        Args:
            distances: By site, of one attempt at a round.
        """
        finite = {site: value for site, value in distances.items() if math.isfinite(value)}
        found = distances.keys() - finite.keys()
        known = [*finite.values(), *(value for values in self._history for value in values)]
        if len(known) >= _FEWEST_TO_JUDGE:
            bound = self._limit * statistics.median(known)
            found |= {site for site, value in finite.items() if value > bound > 0}
        return found

    def remember(self, distances: Iterable[float]) -> None:
        """Keep the distances of a round that counted."""
        self._history = [*self._history, sorted(distances)][-_ROUNDS_REMEMBERED:]
