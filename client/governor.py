"""The hospital's governor: stands between what the server asks and what leaves, whoever does the work.

It runs in a process of the hospital's own installation, which the server cannot replace, without torch. What
the policy refuses, and what the governor itself cannot do (write its audit, its ledger), leaves as a code.
Headers are written anew from what was read: what JSON allows beside that (spaces, a key twice) stays.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.audit import site_audit
from client.compression import folded, unfolded
from client.message import Act, Answered, Asked
from client.policy import (
    check_bytes,
    check_cues,
    check_experiment,
    check_images,
    check_lending,
    check_scores,
    check_training,
    check_update,
    leaving_guidance,
    leaving_scores,
    policy_digest,
)
from client.privacy import Ledger, protect
from client.refusals import RefusalError, code_of, record
from client.run_end import delete_private_state
from client.work import Work
from hqgnet.config import Experiment, experiment_from_json
from hqgnet.cue_bank import without_cues
from hqgnet.data.site_config import SiteConfig
from hqgnet.exchange.arrays import Arrays, digest_arrays, distance
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import (
    CuesHeader,
    CuesRequest,
    EvaluateRequest,
    MalformedMessageError,
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
# A reason can name an array, as long as whoever named it liked.
_LONGEST_REASON = 300
# A run's private folder stands beside these in the site's work folder.
_RESERVED_RUNS = frozenset({"bundles", "code", "compiled", "flower"})

Request = TrainRequest | EvaluateRequest | QueryRequest | CuesRequest
Facts = dict[str, Any]


class Governor:
    """Lets happen, and lets leave, what the site's policy allows.

    Args:
        file: The site's YAML; read anew at every message, and again before an answer leaves, so that a change
            of the policy holds at once.
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
        head: str | None = None
        try:
            work = Work(self._file, act)
            config = work.config
            audit = site_audit(config.work)
            what: Facts = {"kind": asked.kind}
            try:
                request = _read_request(asked)
                what |= _named(request)
                log = config.work / request.run / "site.log"
                audit.append("asked", **what, **self._under(request, config))
                answered, facts = _govern(request, asked, work)
            except Exception as error:
                # Of our own refusals the reason is told; the text of others could hold a path.
                reason = {"reason": error.reason[:_LONGEST_REASON]} if isinstance(error, RefusalError) else {}
                head = audit.append("refused", **what, code=code_of(error), **reason)
                raise
            if (policy := policy_digest(work.config)) != policy_digest(config):
                facts |= {"policy": policy}  # another than it was asked under
            head = audit.append("left", **what, **facts)
            return replace(answered, audit_head=head)
        except Exception as error:
            record(error, log)
            return Answered(code=code_of(error), audit_head=head)

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


def _govern(request: Request, asked: Asked, work: Work) -> tuple[Answered, Facts]:
    if isinstance(request, QueryRequest) and request.kind == "finish":
        return _finish(request, work.config)
    experiment = experiment_from_json(request.experiment, "the server's request")
    check_experiment(experiment, work.config.policy)
    if isinstance(request, TrainRequest):
        return _train(request, experiment, asked, work)
    if isinstance(request, EvaluateRequest):
        return _evaluate(request, experiment, asked, work)
    if isinstance(request, CuesRequest):
        return _lend(request, experiment, asked, work)
    card = work.data_card(request.run, request.experiment)
    card = card.hiding(_config_by_now(experiment, work).policy.smallest_count)
    reply = QueryReply(run=request.run, card=card.to_json()).to_json()
    return Answered(reply), {"hidden": list(card.hidden)} | _text_told(reply)


def _config_by_now(experiment: Experiment, work: Work) -> SiteConfig:
    """Return what the hospital's file says now that the work is done: what would leave is judged by that."""
    config = work.read_again()
    check_experiment(experiment, config.policy)
    return config


def _finish(request: QueryRequest, config: SiteConfig) -> tuple[Answered, Facts]:
    """Cleaning up is always allowed; nothing but the word that it is done leaves."""
    delete_private_state(config.work / request.run)
    return Answered(QueryReply(run=request.run, card=None).to_json()), {"finished": True}


def _may_train(
    request: TrainRequest, experiment: Experiment, received: Arrays, work: Work, card: DataCard | None
) -> DataCard | None:
    """Check what can be known before any work.

    Args:
        request: What is asked.
        experiment: What is trained.
        received: Parameters.
        work: Gives the policy, and the data card where that looks at counts.
        card: The data card if it has been given already.

    Returns:
        The data card, if it was looked at.
    """
    config, policy = work.config, work.config.policy
    check_training(request, experiment, config, received)
    if policy.noise is not None:
        Ledger(config.work / LEDGER_FILE).check(policy.noise)
    if policy.minimum_images > 1 or policy.smallest_count > 1:
        card = card or work.data_card(request.run, request.experiment)
        usable = card.lq.train, card.hq.train
        check_images(request.phase, request.steps, usable, experiment, policy)
    return card


def _train(request: TrainRequest, experiment: Experiment, asked: Asked, work: Work) -> tuple[Answered, Facts]:
    before, compression = work.config, experiment.federation.compression
    lent, parameters = without_cues(asked.arrays)
    has_frozen = request.frozen is not None
    asked = unfolded(replace(asked, arrays=parameters), compression, frozen=has_frozen)
    received = asked.arrays
    card = _may_train(request, experiment, received, work, None)
    text_in_time = _within_minutes(request, asked.text, before.policy.minutes_per_round)
    answered = work.done(replace(asked, text=text_in_time, arrays=received | lent))
    config = _config_by_now(experiment, work)
    if config != before:
        card = _may_train(request, experiment, received, work, card)
    policy, noise = config.policy, config.policy.noise
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
    text = told.to_json()
    facts: Facts = {"groups": told.groups, "clip_norm": policy.clip_norm}
    if policy.clip_norm is not None:
        epsilon = None if noise is None else Ledger(config.work / LEDGER_FILE).charge(noise)
        arrays, clipped = protect(arrays, received, policy.clip_norm, noise.multiplier if noise else None)
        # The server gets this entry's hash, and could try out what stands in it: under noise the entry tells
        # nothing of the update as it was before.
        if noise is None:
            facts |= {"clipped": clipped, "norm_before": distance(answered.arrays, received)}
        else:
            facts |= {"noise": noise.multiplier, "epsilon": epsilon}
    if not compression.is_up:
        return Answered(text, arrays), facts | _arrays_told(arrays, received)
    leaving = folded(arrays, received, request, compression, config.work / request.run, policy)
    return Answered(text, leaving.carried), facts | _arrays_told(leaving.arrays, received) | leaving.facts


def _evaluate(
    request: EvaluateRequest, experiment: Experiment, asked: Asked, work: Work
) -> tuple[Answered, Facts]:
    answered = work.done(asked)
    config = _config_by_now(experiment, work)
    if answered.arrays is not None:
        raise RefusalError(SiteError.POLICY_GROUPS, "a judgement is sums, and no parameters")
    header = answered.read(ScoresHeader)
    scores = check_scores(header, request, config)
    leaving = leaving_scores(scores, config.policy)
    vector = leaving_guidance(answered.guidance, header.guidance_images, request, experiment, config)
    images = 0 if vector is None else header.guidance_images
    told = header.model_copy(update={"scores": leaving.to_json(), "guidance_images": images})
    text = told.to_json()
    check_bytes(len(text), config.policy)
    facts: Facts = {
        "metrics": sorted(leaving.means),
        "segmentation": sorted(leaving.segmentation),
        "grading": sorted(leaving.grading),
        "guidance": vector is not None,
    }
    if vector is not None:
        facts["guidance_digest"] = digest_arrays({"guidance": vector})
    return Answered(text, guidance=vector), facts | _text_told(text)


def _lend(request: CuesRequest, experiment: Experiment, asked: Asked, work: Work) -> tuple[Answered, Facts]:
    check_lending(experiment, work.config.policy)
    answered = work.done(asked)
    config = _config_by_now(experiment, work)
    check_lending(experiment, config.policy)
    if answered.guidance is not None or answered.arrays is None:
        raise RefusalError(SiteError.POLICY_GROUPS, "cues are a mean and a covariance, and nothing else")
    header = answered.read(CuesHeader)
    check_cues(header, answered.arrays, request, experiment, config)
    facts: Facts = {"images": header.images, "digest": digest_arrays(answered.arrays)}
    text = header.to_json()
    facts["bytes"] = len(text) + sum(array.nbytes for array in answered.arrays.values())
    return Answered(text, answered.arrays), _text_told(text) | facts


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
