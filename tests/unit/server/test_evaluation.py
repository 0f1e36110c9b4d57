"""What the server makes of sites' judgements: a reply that no images could give is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from hqgnet.config import Experiment
from hqgnet.exchange.audit import AuditLog
from hqgnet.exchange.update import HEADER, JSON_KEY, EvaluateRequest, ScoresHeader
from hqgnet.metrics.segmentation import FIGURES, SegmentationSums
from hqgnet.metrics.sums import MeanSums
from hqgnet.scores import SiteScores
from server import evaluation
from server.evaluation import Judgement, judge
from server.link import Reply
from server.roster import Site
from tests.unit.server.nodes import card

HISTOGRAM = np.full(4096, 9, np.int64)
SOUND = SiteScores(
    2,
    {"psnr_enhanced": MeanSums.of([20.0, 22.0]), "s_hq_auc": MeanSums.of([0.75])},
    {"enhanced": SegmentationSums(HISTOGRAM, HISTOGRAM, dict.fromkeys(FIGURES, MeanSums.of([0.5] * 2)))},
)

Answers = dict[str, dict[str, Any]]


@pytest.fixture
def judged(
    tiny_experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Answers], Judgement]:
    """Judge a model by sites that answer with the given scores."""
    request = EvaluateRequest(
        run="r",
        experiment="{}",
        phase="enhance",
        round=1,
        split="validation",
        with_task=True,
        want_guidance=False,
    )

    def judgement(answers: Answers) -> Judgement:
        sites = [Site(number, card(name)) for number, name in enumerate(answers)]

        def ask(*_: object) -> Iterator[Reply]:
            for number, (name, scores) in enumerate(answers.items()):
                header = ScoresHeader(
                    run="r",
                    phase="enhance",
                    round=1,
                    split="validation",
                    site=name,
                    scores=scores,
                    seconds=1.0,
                )
                yield Reply(number, RecordDict({HEADER: ConfigRecord({JSON_KEY: header.to_json()})}))

        monkeypatch.setattr(evaluation, "ask", ask)
        context: Any = SimpleNamespace(
            experiment=tiny_experiment, grid=None, audit=AuditLog(tmp_path / "audit.jsonl")
        )
        model: Any = SimpleNamespace(for_evaluation=lambda *_, **__: {}, guidance_size=64)
        return judge(context, sites, model, {}, request)

    return judgement


def test_impossible_scores_are_left_out_and_end_no_run(judged: Callable[[Answers], Judgement]) -> None:
    wrapping, many, perfect = (SOUND.to_json() for _ in range(3))
    wrapping["segmentation"]["enhanced"]["positive_scores"] = [2**53] * 4096
    many["means"]["psnr_enhanced"] |= {"count": 10**6, "sum": 1e9, "sum_of_squares": 1e12}
    perfect["means"]["psnr_enhanced"] |= {"sum": 1e6, "sum_of_squares": 1e12}
    answers = {"aachen": SOUND.to_json(), "bergen": wrapping, "cadiz": many, "delft": perfect}
    judgement = judged(answers)
    assert judgement.failed == dict.fromkeys(("bergen", "cadiz", "delft"), "reply-malformed")
    assert set(judgement.rows) == {"aachen"}
    assert judgement.mean["psnr_enhanced"] == judgement.pooled["psnr_enhanced"] == 21.0


def test_figures_that_cannot_be_computed_refuse_the_reply(
    judged: Callable[[Answers], Judgement], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever slips through the checks of the sums must not end the run either.
    right = SiteScores.row

    def row(scores: SiteScores) -> dict[str, float | None]:
        if scores.images == 1:
            raise ValueError("math domain error")
        return right(scores)

    monkeypatch.setattr(SiteScores, "row", row)
    judgement = judged({"aachen": SOUND.to_json(), "bergen": SiteScores(1).to_json()})
    assert judgement.failed == {"bergen": "reply-malformed"} and set(judgement.rows) == {"aachen"}


def test_a_classifiers_auc_is_in_the_sites_rows_and_in_no_pooled_figure(
    judged: Callable[[Answers], Judgement],
) -> None:
    judgement = judged({"aachen": SOUND.to_json(), "bergen": SOUND.to_json()})
    assert [row["s_hq_auc"] for row in judgement.rows.values()] == [0.75, 0.75]
    assert judgement.mean["s_hq_auc"] == 0.75 and "s_hq_auc" not in judgement.pooled
    assert judgement.pooled["images"] == 4
