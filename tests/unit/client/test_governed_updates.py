"""Which updates leave a site, and how."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.governor import Governor
from client.message import Answered, Asked
from client.privacy import gaussian_epsilon
from hqgnet.config import Experiment
from hqgnet.exchange.arrays import Array, Arrays, distance
from hqgnet.exchange.data_card import DataCard
from hqgnet.exchange.update import (
    QueryReply,
    SiteError,
    UpdateHeader,
    digest,
    read_message,
)
from tests.train_requests import train_request
from tests.unit.client.recorded_site import Recorded, SiteWith, bare, events, refusal

ROOT = Path(__file__).parents[3]


def test_a_site_without_masks_may_keep_the_task_at_home(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_site_files: list[Path]
) -> None:
    images = {name: str(tiny_site_files[0].parent / "images" / name) for name in ("lq", "hq")}
    update = site.answers["train"]
    assert update.arrays is not None
    without = {name: array for name, array in update.arrays.items() if not name.startswith("task.")}
    site.answers["train"] = replace(update, arrays=without)
    site.change("train", groups=["cue_extractor", "generator"])
    file = site_with(policy={"groups": ["cue_extractor", "generator"]}, images=images)
    assert Governor(file, "simulation").answer(requests["train"], site).code is None


def test_too_few_images_are_refused_before_any_training(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(policy={"minimum_images": 9})  # there are 8
    answered = Governor(file, "simulation").answer(requests["train"], site)
    assert bare(answered) == Answered(code=SiteError.POLICY_IMAGES)
    assert [asked.kind for asked in site.asked] == ["query"]
    site.change("train", lq_images=0)
    answered = Governor(site_with(policy={}), "simulation").answer(requests["train"], site)
    assert bare(answered) == Answered(code=SiteError.POLICY_IMAGES)


def _small(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if array.size < 5000}


def _first(arrays: Arrays, change: Callable[[Array], Array]) -> Arrays:
    name = next(iter(arrays))
    return arrays | {name: change(arrays[name])}


@pytest.mark.parametrize(
    ("tamper", "header", "code"),
    [
        (lambda a: a | {"discriminator.weight": a["task.x"]}, {}, SiteError.POLICY_GROUPS),
        (lambda a: a | {"autoencoder_decoder.weight": a["task.x"]}, {}, SiteError.POLICY_GROUPS),
        (lambda a: a | {"task.smuggled": a["task.x"]}, {}, SiteError.POLICY_GROUPS),
        (lambda a: a | {"images": a["task.x"]}, {}, SiteError.POLICY_GROUPS),
        (lambda a: _first(a, lambda x: np.repeat(x, 2, axis=0)), {}, SiteError.POLICY_GROUPS),
        (lambda a: _first(a, lambda x: x.astype(np.float64)), {}, SiteError.POLICY_GROUPS),
        (lambda a: _first(a, lambda x: np.full_like(x, np.nan)), {}, SiteError.DIVERGED),
        (lambda a: {k: v for k, v in a.items() if not k.startswith("task.")}, {}, SiteError.POLICY_GROUPS),
        (lambda a: a, {"groups": ["cue_extractor", "generator"]}, SiteError.POLICY_GROUPS),
        (lambda a: a, {"groups": ["cue_extractor", "generator", "task", "task"]}, SiteError.POLICY_GROUPS),
        (lambda a: a, {"run": "run-2"}, SiteError.INTERNAL),
        (lambda a: a, {"round": 2}, SiteError.INTERNAL),
        (lambda a: a, {"site": "patient-7"}, SiteError.INTERNAL),
        (lambda a: a, {"steps": 3}, SiteError.POLICY_STEPS),
        (lambda a: a, {"images": "x"}, SiteError.INTERNAL),
    ],
)
def test_an_update_that_is_more_than_it_should_be_does_not_leave(
    tamper: Callable[[Arrays], Arrays],
    header: dict[str, Any],
    code: SiteError,
    requests: dict[str, Asked],
    site: Recorded,
    site_with: SiteWith,
) -> None:
    update = site.answers["train"]
    assert update.arrays is not None
    task = next(array for name, array in update.arrays.items() if name.startswith("task."))
    arrays = tamper(update.arrays | {"task.x": task})
    arrays.pop("task.x", None)
    site.answers["train"] = replace(update, arrays=arrays)
    site.change("train", **header)
    file = site_with()
    assert bare(Governor(file, "simulation").answer(requests["train"], site)) == Answered(code=code)
    assert refusal(file)["code"] == code


def test_an_update_is_parameters_alone_and_a_judgement_has_none(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    update, judgement = site.answers["train"], site.answers["evaluate"]
    site.answers = {
        "train": replace(update, guidance=judgement.guidance),
        "evaluate": replace(judgement, arrays=update.arrays),
        "query": replace(site.answers["query"], arrays=update.arrays, guidance=judgement.guidance),
    }
    governor = Governor(site_with(), "simulation")
    for kind in ("train", "evaluate"):
        assert bare(governor.answer(requests[kind], site)) == Answered(code=SiteError.POLICY_GROUPS)
    card = governor.answer(requests["query"], site)
    assert (card.code, card.arrays, card.guidance) == (None, None, None)
    site.answers["train"] = replace(update, arrays=None)
    assert governor.answer(requests["train"], site).code is SiteError.POLICY_GROUPS


def test_losses_stay_where_they_may_not_leave(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    answered = Governor(site_with(policy={"losses": False}), "simulation").answer(requests["train"], site)
    plain = json.loads(site.answers["train"].header or "")
    assert plain["losses"]
    assert json.loads(answered.header or "") == plain | {"losses": {}}


def test_small_counts_are_hidden_and_the_update_agrees_with_the_card(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_experiment: Experiment
) -> None:
    governor = Governor(site_with(policy={"smallest_count": 4, "minimum_images": 4}), "simulation")
    text = read_message(governor.answer(requests["query"], site).header, QueryReply).card
    card = DataCard.from_json(text or "", "the card")
    assert (card.lq.train, card.hq.train) == (8, 8)
    assert (card.lq.validation, card.lq.test) == (0, 0)
    assert {"lq.validation", "lq.test"} <= set(card.hidden)
    # Four steps of two images: half of them are different in any case, and the policy wants no more.
    asked = replace(
        requests["train"], text=train_request(tiny_experiment, phase="cooperate", steps=4).to_json()
    )
    site.change("train", steps=4)
    answered = governor.answer(asked, site)
    header = read_message(answered.header, UpdateHeader)
    assert header.card_digest == digest(card.to_json())
    assert (header.lq_images, header.hq_images) == (card.lq.train, card.hq.train)
    plain = json.loads(site.answers["train"].header or "")
    assert json.loads(answered.header or "") == plain | {"card_digest": header.card_digest}
    # An update of other data than the card's is caught.
    site.change("train", card_digest="0" * 64)
    assert governor.answer(asked, site).code is SiteError.INTERNAL


def test_clipped_and_noisy_updates(requests: dict[str, Asked], site: Recorded, site_with: SiteWith) -> None:
    # Of the arrays only the small ones, for speed.
    came = _small(requests["train"].arrays)
    asked = replace(requests["train"], arrays=came)
    site.answers["train"] = replace(site.answers["train"], arrays=_small(site.answers["train"].arrays or {}))
    moved = distance(site.answers["train"].arrays or {}, came)
    file = site_with(policy={"clip_norm": moved / 2})
    answered = Governor(file, "simulation").answer(asked, site)
    assert answered.arrays is not None and answered.header == site.answers["train"].header
    assert distance(answered.arrays, came) == pytest.approx(moved / 2, rel=1e-4)
    left = events(file)[-1]["facts"]
    assert (left["clipped"], left["clip_norm"]) == (True, moved / 2)
    assert left["norm_before"] == pytest.approx(moved)
    # 2 releases fit: epsilon is 4.377, 6.573 and 8.385 for mu = 1, 1.41 and 1.73 at delta 1e-5.
    noise = {"multiplier": 2.0, "epsilon": 8.0}
    file = site_with(policy={"clip_norm": 0.01, "noise": noise})
    for number in (1, 2):
        answered = Governor(file, "simulation").answer(asked, site)
        assert answered.arrays is not None
        floats = sum(array.size for array in answered.arrays.values() if array.dtype == np.float32)
        assert distance(answered.arrays, came) == pytest.approx(0.02 * math.sqrt(floats), rel=0.05)
        left = events(file)[-1]["facts"]
        assert left["epsilon"] == pytest.approx(gaussian_epsilon(math.sqrt(number), 1e-5))
        assert left["norm"] == pytest.approx(distance(answered.arrays, came))
        assert "clipped" not in left and "norm_before" not in left
    work = len(site.asked)
    assert Governor(file, "simulation").answer(asked, site).code is SiteError.POLICY_BUDGET
    assert len(site.asked) == work
    assert Governor(file, "simulation").answer(requests["evaluate"], site).code is None


def test_what_was_spent_is_not_forgotten_with_the_ledger(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(policy={"clip_norm": 1.0, "noise": {"multiplier": 2.0, "epsilon": 9.0}})
    governor, ledger = Governor(file, "simulation"), file.parent / "work/privacy.json"
    assert governor.answer(requests["train"], site).code is None
    ledger.unlink()
    assert bare(governor.answer(requests["train"], site)) == Answered(code=SiteError.INTERNAL)
    assert "privacy.json is gone" in refusal(file)["reason"] and not ledger.exists()
    ledger.write_text('{"version": 1, "releases": {}}')  # as the runbook has it
    assert governor.answer(requests["train"], site).code is None


def test_a_refused_update_costs_nothing(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(policy={"clip_norm": 1.0, "noise": {"multiplier": 2.0, "epsilon": 9.0}})
    site.change("train", steps=3)
    assert Governor(file, "simulation").answer(requests["train"], site).code is SiteError.POLICY_STEPS
    assert not (file.parent / "work/privacy.json").exists()
