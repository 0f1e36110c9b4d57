"""The hospital's governor: stands between what the server asks and what leaves, whoever does the work.

It runs in a process of the hospital's own installation, which the server cannot replace, without torch. What
the policy refuses, and what the governor itself cannot do (write its audit, its ledger), leaves as a code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.audit import site_audit
from client.compression import folded, unfolded
from client.message import Act, Answered, Asked
from client.policy import (
    check_bytes,
    check_cues,
    check_images,
    check_lending,
    check_scores,
    check_strategy,
    check_training,
    check_update,
    leaving_guidance,
    leaving_scores,
    policy_digest,
)
from client.privacy import Ledger, protect
from client.refusals import RefusalError, code_of, record
from hqgnet.config import Experiment, experiment_from_json
from hqgnet.cue_bank import without_cues
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.errors import ConfigurationError
from hqgnet.exchange.arrays import Array, Arrays, digest_arrays, distance
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import (
    CuesHeader,
    CuesRequest,
    EvaluateRequest,
    MalformedMessageError,
    Message,
    QueryReply,
    QueryRequest,
    ScoresHeader,
    SiteError,
    TrainRequest,
    UpdateHeader,
    digest,
    read_message,
    read_query,
)

LEDGER_FILE = "privacy.json"
# A run's private folder stands beside these in the site's work folder.
_RESERVED_RUNS = frozenset({"bundles", "code", "compiled", "flower"})

Request = TrainRequest | EvaluateRequest | QueryRequest | CuesRequest
Facts = dict[str, Any]


class Governor:
    """Lets happen, and lets leave, what the site's policy allows.

    Args:
        file: The site's YAML; read anew at every message, so that a change of the policy holds at once.
        code: SHA-256 of the bundle whose code does the work; ``"simulation"`` where this installation's does.
    """

    def __init__(self, file: Path, code: str) -> None:
        self._file = file
        self._code = code

    def answer(self, asked: Asked, act: Act) -> Answered:
        """Answer a message: by what ``act`` gives, as far as it may leave, or by a code. Never raises.

        Args:
            asked: From the server, not trusted.
            act: Does the work. Asked for the site's data card as well where the policy looks at counts.
        """
        log: Path | None = None
        try:
            config = load_site_config(self._file)
            audit = site_audit(config.work)
            what: Facts = {"kind": asked.kind}
            try:
                request = _read_request(asked)
                what |= _named(request)
                log = config.work / request.run / "site.log"
                audit.append("asked", **what, **self._under(request, config))
                answered, facts = _govern(request, asked, act, config)
            except Exception as error:
                # Of our own refusals the reason is told; the text of others could hold a path.
                reason = {"reason": error.reason} if isinstance(error, RefusalError) else {}
                audit.append("refused", **what, code=code_of(error), **reason)
                raise
            head = audit.append("left", **what, **facts)
            return replace(answered, audit_head=head)
        except Exception as error:
            record(error, log)
            return Answered(code=code_of(error))

    def _under(self, request: Request, config: SiteConfig) -> Facts:
        """Return under what code and policy something is asked."""
        facts = {"experiment": digest(request.experiment), "policy": policy_digest(config)}
        return facts | {"code": self._code}


def _named(request: Request) -> Facts:
    """Return what was asked, in words for the audit."""
    facts: Facts = {"run": request.run}
    if isinstance(request, QueryRequest):
        return facts | {"query": request.kind}
    facts |= {"phase": request.phase, "round": request.round}
    if isinstance(request, CuesRequest):
        return facts | {"query": request.kind}
    if isinstance(request, TrainRequest):
        return facts | {"attempt": request.attempt, "steps": request.steps}
    return facts | {"split": request.split}


def _read_request(asked: Asked) -> Request:
    request: Request
    if asked.kind == "train":
        request = read_message(asked.text, TrainRequest)
    elif asked.kind == "evaluate":
        request = read_message(asked.text, EvaluateRequest)
    else:
        request = read_query(asked.text)
    if request.run in _RESERVED_RUNS:
        raise MalformedMessageError(f"{request.run} is not to be the name of a run")
    return request


def _govern(request: Request, asked: Asked, act: Act, config: SiteConfig) -> tuple[Answered, Facts]:
    if isinstance(request, QueryRequest) and request.kind == "finish":
        return _finish(request, asked, act)
    experiment = experiment_from_json(request.experiment, "the server's request")
    check_strategy(experiment, config.policy)
    if isinstance(request, TrainRequest):
        return _train(request, experiment, asked, act, config)
    if isinstance(request, EvaluateRequest):
        return _evaluate(request, experiment, asked, act, config)
    if isinstance(request, CuesRequest):
        return _lend(request, experiment, asked, act, config)
    card = _data_card(request, act).hiding(config.policy.smallest_count)
    reply = QueryReply(run=request.run, card=card.to_json()).to_json()
    return Answered(reply), {"hidden": list(card.hidden)} | _text_told(reply)


def _finish(request: QueryRequest, asked: Asked, act: Act) -> tuple[Answered, Facts]:
    """Cleaning up is always allowed; nothing but the word that it is done leaves."""
    _done(act(asked))
    return Answered(QueryReply(run=request.run, card=None).to_json()), {"finished": True}


def _train(
    request: TrainRequest, experiment: Experiment, asked: Asked, act: Act, config: SiteConfig
) -> tuple[Answered, Facts]:
    policy, compression = config.policy, experiment.federation.compression
    lent, parameters = without_cues(asked.arrays)
    asked = unfolded(replace(asked, arrays=parameters), compression)
    received = asked.arrays
    noise, ledger = policy.noise, Ledger(config.work / LEDGER_FILE)
    check_training(request, experiment, config, received)
    if noise is not None:
        ledger.check(noise)
    card: DataCard | None = None
    if policy.minimum_images > 1 or policy.smallest_count > 1:
        query = QueryRequest(run=request.run, kind="data-card", experiment=request.experiment)
        card = _data_card(query, act)
        check_images(card.lq.train, card.hq.train, policy)
    text_in_time = _within_minutes(request, asked.text, policy.minutes_per_round)
    answered = _done(act(replace(asked, text=text_in_time, arrays=received | lent)))
    if answered.guidance is not None or answered.arrays is None:
        raise RefusalError(SiteError.POLICY_GROUPS, "an update is parameters, and nothing else")
    header = answered.read(UpdateHeader)
    arrays = answered.arrays
    check_update(header, arrays, request, experiment, config, received)
    told = header if policy.losses else header.model_copy(update={"losses": {}})
    if card is not None:
        if header.card_digest != digest(card.to_json()):
            raise RefusalError(SiteError.INTERNAL, "the update is of other data than the site's data card")
        told = told.model_copy(update={"card_digest": digest(card.hiding(policy.smallest_count).to_json())})
    text = answered.header if told == header else told.to_json()
    facts: Facts = {"groups": told.groups, "clip_norm": policy.clip_norm}
    if policy.clip_norm is not None:
        epsilon = None if noise is None else ledger.charge(noise)
        arrays, clipped = protect(arrays, received, policy.clip_norm, noise.multiplier if noise else None)
        # The server gets this entry's hash, and could try out what stands in it: under noise the entry tells
        # nothing of the update as it was before.
        if noise is None:
            facts |= {"clipped": clipped, "norm_before": distance(answered.arrays, received)}
        else:
            facts |= {"noise": noise.multiplier, "epsilon": epsilon}
    if not compression.is_up:
        return Answered(text, arrays), facts | _arrays_told(arrays, received)
    limit = None if noise is not None else policy.clip_norm
    leaving = folded(arrays, received, request, compression, config.work / request.run, limit)
    return Answered(text, leaving.carried), facts | _arrays_told(leaving.arrays, received) | leaving.facts


def _evaluate(
    request: EvaluateRequest, experiment: Experiment, asked: Asked, act: Act, config: SiteConfig
) -> tuple[Answered, Facts]:
    answered = _done(act(asked))
    if answered.arrays is not None:
        raise RefusalError(SiteError.POLICY_GROUPS, "a judgement is sums, and no parameters")
    header = answered.read(ScoresHeader)
    scores = check_scores(header, request, config)
    leaving = leaving_scores(scores, config.policy)
    vector = leaving_guidance(answered.guidance, header.guidance_images, request, experiment, config)
    told = header
    if leaving != scores:
        told = told.model_copy(update={"scores": leaving.to_json()})
    if vector is None:
        told = told.model_copy(update={"guidance_images": 0})
    text = answered.header if told == header else told.to_json()
    check_bytes(len(text), config.policy)
    facts: Facts = {
        "metrics": sorted(leaving.means),
        "segmentation": sorted(leaving.segmentation),
        "grading": sorted(leaving.grading),
        "guidance": vector is not None,
    }
    return Answered(text, guidance=vector), facts | _text_told(text)


def _lend(
    request: CuesRequest, experiment: Experiment, asked: Asked, act: Act, config: SiteConfig
) -> tuple[Answered, Facts]:
    check_lending(experiment, config.policy)
    answered = _done(act(asked))
    if answered.guidance is not None or answered.arrays is None:
        raise RefusalError(SiteError.POLICY_GROUPS, "cues are a mean and a covariance, and nothing else")
    header = answered.read(CuesHeader)
    check_cues(header, answered.arrays, request, experiment, config)
    facts: Facts = {"images": header.images, "digest": digest_arrays(answered.arrays)}
    facts["bytes"] = len(answered.header) + sum(array.nbytes for array in answered.arrays.values())
    return Answered(answered.header, answered.arrays), _text_told(answered.header) | facts


def _data_card(query: QueryRequest, act: Act) -> DataCard:
    text = _done(act(Asked("query", query.to_json()))).read(QueryReply).card
    try:
        return DataCard.from_json(text or "", "the site's data card")
    except ConfigurationError as error:
        raise RefusalError(SiteError.INTERNAL, "no data card was given") from error


@dataclass(frozen=True)
class _Done:
    header: str
    arrays: Arrays | None
    guidance: Array | None

    def read(self, kind: type[Message]) -> Message:
        try:
            return read_message(self.header, kind)
        except MalformedMessageError as error:
            raise RefusalError(SiteError.INTERNAL, f"the work's answer is no {kind.__name__}") from error


def _done(answered: Answered) -> _Done:
    """Take an answer whose work was done; a refusal ends the message."""
    if answered.code is not None or answered.header is None:
        raise RefusalError(answered.code or SiteError.INTERNAL, "the work was not done; see the run's log")
    return _Done(answered.header, answered.arrays, answered.guidance)


def _within_minutes(request: TrainRequest, text: object, minutes: float) -> object:
    """Return the request with the hospital's own deadline, where that is sooner."""
    if request.deadline_s <= minutes * 60:
        return text
    return request.model_copy(update={"deadline_s": minutes * 60}).to_json()


def _text_told(text: str) -> Facts:
    return {"header": digest(text), "bytes": len(text)}


def _arrays_told(arrays: Arrays, received: Arrays) -> Facts:
    shapes = {name: [str(array.dtype), *array.shape] for name, array in sorted(arrays.items())}
    return {
        "arrays": len(arrays),
        "shapes": digest(json.dumps(shapes)),
        "bytes": sum(array.nbytes for array in arrays.values()),
        "norm": distance(arrays, received),
        "digest": digest_arrays(arrays),
    }
