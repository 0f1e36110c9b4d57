"""The messages of a federation, as data: what the server asks, what a site answers, and how a site declines.

A message is one JSON text beside a set of named arrays (:mod:`hqgnet.exchange.arrays`). Both ends read it
strictly: unknown keys, other types, NaN and another protocol version are refused. A site declines with a
code from a fixed list and never with the text of an exception, which could hold a path or a patient's name.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hqgnet.config import PhaseName

PROTOCOL: Literal[1] = 1
# Names of the parts of a message.
REQUEST = "request"
HEADER = "header"
ARRAYS = "arrays"
CUES = "cues"
FROZEN = "frozen"
REFUSAL = "refusal"
JSON_KEY = "json"
CODE_KEY = "code"
GUIDANCE = "guidance"
AUDIT = "audit"
HEAD_KEY = "head"

RUN_PATTERN = r"^[a-z0-9][a-z0-9-]{0,100}$"
_LONGEST_JSON = 4_000_000
_MOST_IMAGES = 10_000_000

RunId = Annotated[str, Field(pattern=RUN_PATTERN)]
Count = Annotated[int, Field(ge=0, le=_MOST_IMAGES)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LossName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
# Bounded as parameters are, so that no weighted sum over sites overflows.
Loss = Annotated[float, Field(ge=-1e30, le=1e30)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Message = TypeVar("Message", bound="_Message")


class SiteError(StrEnum):
    """Why a site declines a request; the text behind it stays in the site's log."""

    CONFIGURATION = "site-configuration"
    DATA = "site-data"
    REQUEST = "request-refused"
    PARAMETERS = "parameters-refused"
    FROZEN = "frozen-missing"
    DIVERGED = "training-diverged"
    OUT_OF_MEMORY = "out-of-memory"
    DISK = "site-disk"
    CODE_NOT_APPROVED = "code-not-approved"
    POLICY_PHASE = "policy-phase"
    POLICY_STRATEGY = "policy-strategy"
    POLICY_NETWORK = "policy-network"
    POLICY_GROUPS = "policy-groups"
    POLICY_STEPS = "policy-steps"
    POLICY_IMAGES = "policy-images"
    POLICY_BYTES = "policy-bytes"
    POLICY_BUDGET = "policy-privacy-budget"
    POLICY_CUES = "policy-cues"
    OVERDUE = "site-overdue"
    WORKER_ENDED = "site-worker-ended"
    INTERNAL = "site-internal"


EXPLANATIONS: dict[SiteError, str] = {
    SiteError.CONFIGURATION: "the site's YAML cannot be used; run hqgnet-client check there",
    SiteError.DATA: "the site's images cannot be used; run hqgnet-client check there",
    SiteError.REQUEST: "the site could not read the server's request; install the same version at both ends",
    SiteError.PARAMETERS: "the model did not fit the site's networks; install the same version at both ends",
    SiteError.FROZEN: "the site has lost the frozen parameters that it was sent before; the next round sends "
    "them again",
    SiteError.DIVERGED: "training gave NaN or infinite weights; lower training.learning_rate",
    SiteError.OUT_OF_MEMORY: "the site ran out of memory; lower training.batch_size or image_size",
    SiteError.DISK: "the site's work folder cannot be written; free space there",
    SiteError.CODE_NOT_APPROVED: "the hospital has not approved this code; run hqgnet-client approve there",
    SiteError.POLICY_PHASE: "the hospital's policy does not allow this phase",
    SiteError.POLICY_STRATEGY: "the hospital's policy does not allow this aggregation rule",
    SiteError.POLICY_NETWORK: "the hospital's policy does not list the class in downstream.network",
    SiteError.POLICY_GROUPS: "the hospital's policy keeps one of the parameter groups at home",
    SiteError.POLICY_STEPS: "the hospital's policy allows fewer steps a round; lower phases.*.steps",
    SiteError.POLICY_IMAGES: "the hospital's policy wants more images behind an update than a round is sure "
    "to use; raise phases.*.steps or training.batch_size, if it has so many",
    SiteError.POLICY_BYTES: "the reply would be larger than the hospital's policy allows",
    SiteError.POLICY_BUDGET: "the hospital's privacy budget is spent",
    SiteError.POLICY_CUES: "the hospital lends no cues (policy.cue_bank), or has too few HQ images for it",
    SiteError.OVERDUE: "the site did not finish in time, and its watchdog ended the work",
    SiteError.WORKER_ENDED: "the site's training process was ended from outside, for want of memory perhaps",
    SiteError.INTERNAL: "unexpected; the reason stands in site.log in the site's work folder",
}


class MalformedMessageError(ValueError):
    """A message is not of this protocol; its text says where, without repeating received values."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    protocol: Literal[1] = PROTOCOL
    run: RunId

    def to_json(self) -> str:
        """JSON text for the wire."""
        return self.model_dump_json()


class QueryRequest(_Message):
    """Asks a site who it is, or tells it that the run is over.

    Attributes:
        kind: ``finish`` lets the site delete its private training state.
        experiment: Canonical JSON of the experiment.
    """

    kind: Literal["data-card", "finish"]
    experiment: str


class TrainRequest(_Message):
    """Asks a site for one round of training; the shared parameters travel beside it.

    Attributes:
        round: In the phase, from 1.
        global_round: Over all phases, from 1.
        attempt: From 0; a round that failed is asked again with the next one.
        first_step: Step of the phase with which the round begins.
        counted_step: Step with which the round ended that took this site's latest update of the phase; 0 if
            none has. What only holds if the server has an update (a control variate, what compression left
            out) goes on from there: a site cannot know whether its answer came in time.
        frozen: Digest of the parameters that nobody trains in the phase; None if there are none. They travel
            beside the others once, and after that the site has them.
        steps: How many to take.
        deadline_s: The site stops early after so many seconds.
        experiment: Canonical JSON of the experiment.
    """

    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    global_round: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=0)] = 0
    first_step: Annotated[int, Field(ge=0)]
    counted_step: Annotated[int, Field(ge=0)] = 0
    frozen: Sha256 | None = None
    steps: Annotated[int, Field(ge=1)]
    deadline_s: Annotated[float, Field(gt=0)]
    experiment: str


class EvaluateRequest(_Message):
    """Asks a site to judge the global model, which travels beside it.

    Attributes:
        split: Which of the site's images.
        with_task: Whether the downstream network has been trained and travels too.
        want_guidance: Whether to send the mean cue of the site's HQ images, if the site allows it.
        final: This is the run's result: keep pictures at the site.
    """

    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    split: Literal["validation", "test"]
    with_task: bool
    want_guidance: bool
    final: bool = False
    experiment: str


class CuesRequest(_Message):
    """Asks a site for the cues of its HQ images, as the cue extractor that travels beside it gives them.

    Attributes:
        phase: Of the run.
        round: In the phase, from 1; the first one whose training may be guided by the cues.
        experiment: Canonical JSON of the experiment.
    """

    kind: Literal["cues"] = "cues"
    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    experiment: str


class QueryReply(_Message):
    """A site's data card (:mod:`hqgnet.exchange.data_card`), or the word that it has cleaned up."""

    card: str | None


class UpdateHeader(_Message):
    """Stands beside the parameters that a site sends after a round.

    Attributes:
        phase: Repeats the request, as do ``round`` and ``attempt``: an old reply is recognised.
        site: The site's name.
        groups: Parameter groups beside it.
        lq_images: LQ images trained on.
        hq_images: HQ images trained on.
        steps: Steps taken.
        losses: Mean of each loss over the steps.
        seconds: Training time.
        card_digest: Of the data card: the site's data are those it declared.
    """

    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    attempt: Annotated[int, Field(ge=0)]
    site: Annotated[str, Field(min_length=1, max_length=100)]
    groups: Annotated[list[str], Field(max_length=16)]
    lq_images: Count
    hq_images: Count
    steps: Annotated[int, Field(ge=1)]
    losses: Annotated[dict[LossName, Loss], Field(max_length=32)]
    seconds: Seconds
    card_digest: Sha256


class ScoresHeader(_Message):
    """A site's judgement of the global model, in mergeable sums.

    Attributes:
        scores: JSON of :class:`hqgnet.scores.SiteScores`.
        guidance_images: HQ images behind the guidance vector that travels beside it; 0 without one.
    """

    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    split: Literal["validation", "test"]
    site: Annotated[str, Field(min_length=1, max_length=100)]
    scores: dict[str, Any]
    guidance_images: Count = 0
    seconds: Seconds


class CuesHeader(_Message):
    """Stands beside the mean and covariance of v_z that a site lends.

    Attributes:
        phase: Repeats the request, as does ``round``.
        site: The site's name.
        images: HQ training images behind them.
    """

    phase: PhaseName
    round: Annotated[int, Field(ge=1)]
    site: Annotated[str, Field(min_length=1, max_length=100)]
    images: Count


def digest(text: str) -> str:
    """SHA-256 (hex) of a text, for example of a data card in canonical JSON."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_message(text: object, kind: type[Message]) -> Message:
    """Read the JSON part of a message from a peer that is not trusted.

    Raises:
        MalformedMessageError: If it is not a valid message of this kind.
    """
    if not isinstance(text, str) or len(text) > _LONGEST_JSON:
        raise MalformedMessageError(f"{kind.__name__} is not a text of sensible length")
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        places = ", ".join(
            sorted({".".join(str(part) for part in e["loc"][:1]) or "text" for e in error.errors()})
        )
        raise MalformedMessageError(f"{kind.__name__} is malformed at: {places}") from None


def read_query(text: object) -> QueryRequest | CuesRequest:
    """Read what a site is asked beside training and judging.

    Raises:
        MalformedMessageError: If it is neither.
    """
    try:
        return read_message(text, QueryRequest)
    except MalformedMessageError as error:
        try:
            return read_message(text, CuesRequest)
        except MalformedMessageError:
            raise error from None


def read_site_error(code: object) -> SiteError:
    """Read a site's refusal; whatever is not on the list counts as :attr:`SiteError.INTERNAL`."""
    try:
        return SiteError(str(code))
    except ValueError:
        return SiteError.INTERNAL
