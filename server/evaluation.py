"""What the sites say of a model: their rows, the mean over sites, and the figure over all their images."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from flwr.app import MessageType
from torch import Tensor

from hqgnet.config import PhaseName
from hqgnet.cue_bank import MEAN, CueBank
from hqgnet.errors import DataError
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.participation import cannot_judge
from hqgnet.exchange.update import (
    EvaluateRequest,
    MalformedMessageError,
    ScoresHeader,
    digest,
)
from hqgnet.scores import Gap, Row, SiteScores
from server.context import RunContext
from server.global_model import GlobalModel
from server.guards import Fault, RefusedReplyError, check_scores, distrusted
from server.link import Reply, ask
from server.roster import Site
from server.wire import read_guidance, write_arrays, write_request

_COUNTS = ("images",)


@dataclass(frozen=True)
class Judgement:
    """One evaluation by the sites.

    Attributes:
        phase: Of the model.
        round: Of the model, in its phase.
        split: Which images.
        rows: By site.
        mean: Mean over the sites that have the figure.
        sites_behind: How many sites that are, by figure.
        pooled: The same figures over all images of all sites; not the AUC of a site's own classifier.
        gaps: By site: metrics that not all of its images have, and why.
        guidance: Mean cue of the sites' HQ images ``(64,)``, of those that lend where there is a bank; None
            if no site lets it go.
        failed: Fault by site.
        seconds: The slowest site's time.
        bank: Cues that sites lent, as the model's own cue extractor gives them; None where there are none.
        sitting_out: Sites that could not be asked, and why.
    """

    phase: PhaseName
    round: int
    split: str
    rows: dict[str, Row]
    mean: Row
    sites_behind: dict[str, int]
    pooled: Row
    gaps: dict[str, dict[str, Gap]]
    guidance: Tensor | None
    failed: dict[str, str]
    seconds: float
    bank: CueBank | None = None
    sitting_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    header: ScoresHeader
    scores: SiteScores
    row: Row
    guidance: Tensor | None


def judge(
    context: RunContext,
    sites: Sequence[Site],
    model: GlobalModel,
    parameters: Arrays,
    request: EvaluateRequest,
    bank: CueBank | None = None,
) -> Judgement:
    """Let the sites judge ``parameters``; a site that does not answer is named and left out.

    A site without HQ images is guided by the bank's mean; where it needs a guide and there is none, it sits
    out.

    Args:
        context: The run; its experiment gives the deadline.
        sites: Who judges.
        model: Knows what travels.
        parameters: Global parameters.
        request: Goes to every site.
        bank: Cues that sites lent; None where there are none.
    """
    reasons = {
        site.name: cannot_judge(site.card, context.experiment, lent=bank is not None) for site in sites
    }
    by_node = {site.node_id: site for site in sites if not reasons[site.name]}
    arrays = write_arrays(model.for_evaluation(parameters, with_task=request.with_task))
    requests = dict.fromkeys(by_node, write_request(request.to_json(), arrays))
    if bank is not None:
        lent = write_request(request.to_json(), arrays, write_arrays({MEAN: bank.mean()}))
        requests |= {node_id: lent for node_id, site in by_node.items() if not site.card.has_hq}
    answers: dict[str, _Answer] = {}
    failed: dict[str, str] = {}
    deadline = context.experiment.federation.round_deadline_s
    group = f"{request.phase}-{request.round}-{request.split}"
    place = {"phase": request.phase, "round": request.round, "split": request.split}
    for reply in ask(context.grid, requests, MessageType.EVALUATE, group, deadline):
        site = by_node[reply.node_id]
        facts = {"site": site.name, **place, **reply.audit_head}
        try:
            with distrusted():
                answer = _read(reply, request, site, model.guidance_size)
            answers[site.name] = answer
            scores = json.dumps(answer.header.scores, sort_keys=True, separators=(",", ":"))
            context.audit.append("evaluation", scores=digest(scores), **facts)
        except RefusedReplyError as error:
            failed[site.name] = error.code
            context.audit.append("evaluation-refused", code=error.code, **facts)
    ordered = {name: answers[name] for name in sorted(answers)}
    rows = {name: answer.row for name, answer in ordered.items()}
    mean, behind = site_mean(rows)
    pooled = sum((answer.scores for answer in ordered.values()), SiteScores())
    seconds = max((answer.header.seconds for answer in ordered.values()), default=0.0)
    return Judgement(
        request.phase,
        request.round,
        request.split,
        rows,
        mean,
        behind,
        pooled.row(),
        {name: answer.scores.gaps() for name, answer in ordered.items()},
        _mean_guidance(list(ordered.values())) if bank is None else torch.from_numpy(bank.mean()),
        failed,
        seconds,
        bank,
        {name: reason for name, reason in reasons.items() if reason},
    )


def site_mean(rows: Mapping[str, Row]) -> tuple[Row, dict[str, int]]:
    """Return each figure's mean over the sites that have it, and how many those are; counts are summed."""
    mean: Row = {}
    behind: dict[str, int] = {}
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        values = [value for row in rows.values() if (value := row.get(name)) is not None]
        if name in _COUNTS:
            mean[name] = sum(values)
        else:
            mean[name] = statistics.fmean(values) if values else None
            behind[name] = len(values)
    return mean, behind


def _read(reply: Reply, request: EvaluateRequest, site: Site, guidance_size: int) -> _Answer:
    header, content = reply.read(ScoresHeader)
    check_scores(header, request, site.name)
    try:
        vector = read_guidance(content, guidance_size) if request.want_guidance else None
        if (vector is None) != (header.guidance_images == 0) or header.guidance_images > site.card.hq.train:
            raise RefusedReplyError(Fault.COUNTS)
        guidance = None if vector is None else torch.tensor(vector)
        scores = SiteScores.from_json(header.scores)
        # Figures are computed here, where whatever they raise refuses the reply.
        return _Answer(header, scores, scores.row(), guidance)
    except (MalformedMessageError, DataError) as error:
        raise RefusedReplyError(Fault.MALFORMED) from error


def _mean_guidance(answers: Sequence[_Answer]) -> Tensor | None:
    weighted = [
        (answer.guidance.double(), answer.header.guidance_images)
        for answer in answers
        if answer.guidance is not None
    ]
    if not weighted:
        return None
    total = sum(count for _, count in weighted)
    return torch.stack([vector * count for vector, count in weighted]).sum(dim=0).div(total).float()
