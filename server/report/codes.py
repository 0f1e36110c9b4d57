"""What the codes of left-out replies mean, for who must act."""

from __future__ import annotations

from enum import StrEnum

from hqgnet.exchange.arrays import ArrayFault
from hqgnet.exchange.update import EXPLANATIONS, SiteError
from server.guards import Fault


class Part(StrEnum):
    """What a site did in a round, as the participation table tells it."""

    TOOK_PART = "took part"
    FAILED = "failed at the site"
    DECLINED = "declined by the site"
    NO_ANSWER = "no answer"
    REFUSED = "refused by the server"
    ABSENT = "absent"
    NOT_ASKED = "not asked"


_FAULTS: dict[str, str] = {
    Fault.NO_REPLY: "no reply came before the round's deadline; look whether the site is up, or raise "
    "federation.round_deadline_s",
    Fault.TRANSPORT: "the reply was lost on its way; look at the network, and at the SuperLink's log",
    Fault.MALFORMED: "the reply could not be read; install the same version at both ends",
    Fault.OTHER_ROUND: "the reply belonged to another round; it came too late",
    Fault.OTHER_SITE: "the reply named another site than the one that was asked; look at the sites' names",
    Fault.GROUPS: "the site sent other parameter groups than were asked for; install the same version",
    Fault.COUNTS: "the site trained on other numbers of images than it had declared; it is asked anew",
    Fault.STEPS: "the site took more training steps than were asked for; install the same version",
    Fault.NORM: "the update moved the model much further than the others' did (federation.norm_limit); "
    "look at that site's images and losses",
    Fault.CUES: "the mean and covariance of the cues cannot be what they say; install the same version",
    ArrayFault.MISSING: "a parameter was missing from the update; install the same version",
    ArrayFault.UNKNOWN: "the update held a parameter that the model has not; install the same version",
    ArrayFault.SHAPE: "a parameter had another shape; install the same version",
    ArrayFault.DTYPE: "a parameter had another number format; install the same version",
    ArrayFault.NOT_FINITE: "the update held NaN, infinity or beyond 1e30; lower training.learning_rate",
    ArrayFault.NEGATIVE: "a running variance was below 0, which no training gives; look into that site",
}


def explain(code: str) -> str:
    """Return what a code means and what helps."""
    known = {str(error): text for error, text in EXPLANATIONS.items()} | _FAULTS
    return known.get(code, "a code of another version; look at site.log in the site's work folder")


def part_of(code: str) -> Part:
    """Return who is behind a code: the site that fails or declines, the network, or the server's checks."""
    if code in (Fault.NO_REPLY, Fault.TRANSPORT):
        return Part.NO_ANSWER
    if code in _FAULTS:
        return Part.REFUSED
    if code == SiteError.CODE_NOT_APPROVED or code.startswith("policy-"):
        return Part.DECLINED
    return Part.FAILED
