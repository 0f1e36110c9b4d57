"""A hospital that tightens its policy while something is being done: it holds for what would leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.governor import Governor
from client.message import Answered, Asked
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import QueryReply, SiteError, UpdateHeader, read_message
from hqgnet.metrics.names import Reason
from tests.unit.client.recorded_site import Recorded, SiteWith, bare, events, refusal, scores_of


def answered_under(
    policy: dict[str, Any], kind: str, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> Answered:
    """The answer to a request during whose work the hospital writes another policy."""
    file = site_with()

    def work(asked: Asked) -> Answered:
        site_with(policy=policy)
        return site(asked)

    return Governor(file, "simulation").answer(requests[kind], work)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"phases": ["pretrain"]}, SiteError.POLICY_PHASE),
        ({"strategies": []}, SiteError.POLICY_STRATEGY),
        ({"groups": ["cue_extractor", "generator"]}, SiteError.POLICY_GROUPS),
        ({"steps_per_round": 1}, SiteError.POLICY_STEPS),
        ({"megabytes_per_round": 0.01}, SiteError.POLICY_BYTES),
        ({"minimum_images": 9}, SiteError.POLICY_IMAGES),
        ({"clip_norm": 1.0, "noise": {"multiplier": 1.0, "epsilon": 1.0}}, SiteError.POLICY_BUDGET),
        ({"phase": "misspelt"}, SiteError.CONFIGURATION),
    ],
)
def test_an_update_that_the_policy_forbids_by_now_does_not_leave(
    policy: dict[str, Any], code: SiteError, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    assert bare(answered_under(policy, "train", requests, site, site_with)) == Answered(code=code)
    assert site.asked[0].kind == "train"
    assert refusal(site_with())["code"] == code


def test_what_an_update_tells_is_what_it_may_tell_by_now(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    answered = answered_under({"losses": False, "clip_norm": 1e-3}, "train", requests, site, site_with)
    assert read_message(answered.header, UpdateHeader).losses == {}
    asked, left = events(site_with())
    assert left["facts"]["clipped"] and left["facts"]["norm"] < 1.01e-3
    # Under which policy it left stands in the log where it is not the one that was asked under.
    assert left["facts"]["policy"] != asked["facts"]["policy"]
    assert answered_under({}, "train", requests, site, site_with).code is None
    assert "policy" not in events(site_with())[-1]["facts"]


def test_scores_and_cards_are_told_as_they_may_be_by_now(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    scores, _ = scores_of(answered_under({"metrics": []}, "evaluate", requests, site, site_with))
    assert (scores.means, scores.segmentation) == ({}, {})
    assert set(scores.reasons.values()) == {frozenset({Reason.WITHHELD})}
    card = answered_under({"smallest_count": 4, "minimum_images": 4}, "query", requests, site, site_with)
    text = read_message(card.header, QueryReply).card
    assert "lq.test" in DataCard.from_json(text or "", "the card").hidden
    for kind in ("evaluate", "query"):
        answered = answered_under({"strategies": []}, kind, requests, site, site_with)
        assert bare(answered) == Answered(code=SiteError.POLICY_STRATEGY)


def test_the_mean_cue_stays_where_it_may_not_leave_by_now(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    def work(asked: Asked) -> Answered:
        site_with(share_guidance=False)
        return site(asked)

    answered = Governor(site_with(), "simulation").answer(requests["evaluate"], work)
    assert site.answers["evaluate"].guidance is not None and answered.guidance is None
    assert json.loads(answered.header or "")["guidance_images"] == 0
