"""What the hospital's policy says of lending cues, and of being guided by others'."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from client.actions import act
from client.frames import answered_frame, asked_frame, read_answered_frame, read_asked_frame
from client.governor import Governor
from client.message import Answered, Asked
from client.site import forget_sites
from hqgnet.config import Experiment, experiment_from_json
from hqgnet.cue_bank import COVARIANCE, MEAN, CueBank, CueEntry
from hqgnet.data.reading import read_image
from hqgnet.data.site_data import SiteData
from hqgnet.exchange.arrays import Arrays, digest_arrays, to_arrays
from hqgnet.exchange.groups import cue_keys, evaluation_keys, renewed_keys
from hqgnet.exchange.update import (
    CuesHeader,
    CuesRequest,
    EvaluateRequest,
    MalformedMessageError,
    QueryRequest,
    SiteError,
    UpdateHeader,
    read_message,
    read_query,
)
from hqgnet.guidance import image_guidance
from hqgnet.networks import networks_of
from tests.train_requests import train_request
from tests.unit.client.recorded_site import Recorded, SiteWith, events, refusal

LENDS: dict[str, Any] = {"cue_bank": True, "minimum_hq_images": 8}
HQ_IMAGES = 8


@pytest.fixture(scope="module")
def experiment(tiny_experiment: Experiment) -> Experiment:
    given = tiny_experiment.model_dump()
    given["federation"]["cue_bank"] = {"enabled": True, "minimum_images": 8, "norm_limit": 20.0}
    return Experiment.model_validate(given)


@pytest.fixture(scope="module")
def state(experiment: Experiment) -> dict[str, torch.Tensor]:
    return dict(networks_of(experiment, seed=1).state_dict())


@pytest.fixture(scope="module")
def asked(experiment: Experiment, state: dict[str, torch.Tensor]) -> Asked:
    request = CuesRequest(run="run-1", phase="enhance", round=1, experiment=experiment.to_json())
    return Asked("query", request.to_json(), to_arrays(state, cue_keys(networks_of(experiment), experiment)))


@pytest.fixture
def bank() -> CueBank:
    vectors = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    return CueBank((CueEntry.of(vectors, 20.0),))


def lent(site_with: SiteWith, asked: Asked, **policy: Any) -> Answered:
    forget_sites()
    file = site_with(policy=LENDS | policy)
    return Governor(file, "simulation").answer(asked, lambda asked: act(asked, file))


def test_what_leaves_is_mean_and_covariance_of_the_sites_hq_images(
    site_with: SiteWith,
    asked: Asked,
    experiment: Experiment,
    state: dict[str, torch.Tensor],
    tiny_sites: list[SiteData],
) -> None:
    answered = lent(site_with, asked)
    assert answered.code is None and answered.arrays is not None and answered.guidance is None
    header = read_message(answered.header, CuesHeader)
    assert (header.images, header.site, header.phase, header.round) == (HQ_IMAGES, "site-1", "enhance", 1)
    networks = networks_of(experiment)
    networks.load_state_dict(state)
    device = torch.device("cpu")
    images = [read_image(sample.path, 3) for sample in tiny_sites[0].hq["train"]]
    guides = [image_guidance(networks, image, experiment.image_size, device) for image in images]
    vectors = torch.cat([guide for guide in guides if guide is not None]).numpy()
    np.testing.assert_allclose(answered.arrays[MEAN], vectors.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(answered.arrays[COVARIANCE], np.cov(vectors.T), rtol=1e-3, atol=1e-7)
    assert sum(array.nbytes for array in answered.arrays.values()) == 4 * (64 + 64 * 64)


def test_the_audit_tells_what_left(site_with: SiteWith, asked: Asked) -> None:
    answered = lent(site_with, asked)
    first, last = events(site_with(policy=LENDS))
    assert (first["event"], first["facts"]["query"], first["facts"]["round"]) == ("asked", "cues", 1)
    assert last["event"] == "left" and last["facts"]["images"] == HQ_IMAGES
    assert last["facts"]["digest"] == digest_arrays(answered.arrays or {})
    assert last["hash"] == answered.audit_head


def test_nothing_leaves_by_default_and_nothing_is_computed(site_with: SiteWith, asked: Asked) -> None:
    file, site = site_with(), Recorded({})
    assert Governor(file, "simulation").answer(asked, site).code is SiteError.POLICY_CUES
    assert site.asked == [] and refusal(file)["reason"] == "policy.cue_bank is false"


@pytest.mark.parametrize("policy", [{"minimum_hq_images": 9}, {"smallest_count": 9, "minimum_images": 9}])
def test_too_few_images_lend_nothing(policy: dict[str, Any], site_with: SiteWith, asked: Asked) -> None:
    answered = lent(site_with, asked, **policy)
    assert (answered.code, answered.arrays) == (SiteError.POLICY_CUES, None)


def test_nor_fewer_than_the_experiment_wants(site_with: SiteWith, asked: Asked) -> None:
    assert isinstance(asked.text, str)
    text = asked.text.replace('minimum_images\\":8', 'minimum_images\\":9')
    assert text != asked.text
    assert lent(site_with, replace(asked, text=text)).code is SiteError.POLICY_CUES


def test_an_experiment_without_a_bank_gets_none(
    site_with: SiteWith, asked: Asked, tiny_experiment: Experiment
) -> None:
    request = CuesRequest(run="run-1", phase="enhance", round=1, experiment=tiny_experiment.to_json())
    assert lent(site_with, replace(asked, text=request.to_json())).code is SiteError.REQUEST


def test_parameters_that_do_not_fit_are_declined(site_with: SiteWith, asked: Asked) -> None:
    for arrays in ({}, {**asked.arrays, "generator.more": np.zeros(1, np.float32)}):
        assert lent(site_with, replace(asked, arrays=arrays)).code is SiteError.PARAMETERS


def honest(arrays: Arrays) -> Arrays:
    return arrays


@pytest.mark.parametrize(
    ("header", "change", "code"),
    [
        ({}, honest, None),
        ({"round": 2}, honest, SiteError.INTERNAL),
        ({"site": "site-9"}, honest, SiteError.INTERNAL),
        ({"images": 7}, honest, SiteError.POLICY_CUES),
        ({}, lambda arrays: {MEAN: arrays[MEAN]}, SiteError.INTERNAL),
        ({}, lambda arrays: {**arrays, "images": np.zeros((3, 48, 48), np.float32)}, SiteError.INTERNAL),
        ({}, lambda arrays: {**arrays, MEAN: arrays[MEAN] + 100}, SiteError.INTERNAL),
        (
            {},
            lambda arrays: {**arrays, COVARIANCE: arrays[COVARIANCE] * np.float32(np.nan)},
            SiteError.INTERNAL,
        ),
    ],
)
def test_the_governor_looks_at_what_the_code_would_send(
    header: dict[str, Any], change: Any, code: SiteError | None, site_with: SiteWith, asked: Asked
) -> None:
    file = site_with(policy=LENDS)
    forget_sites()
    answered = act(asked, file)
    told = json.dumps(json.loads(answered.header or "") | header)
    changed = replace(answered, header=told, arrays=change(answered.arrays))
    governed = Governor(file, "simulation").answer(asked, lambda _: changed)
    assert governed.code == code and (governed.arrays is None) == (code is not None)


def test_request_and_answer_pass_between_the_sites_processes(site_with: SiteWith, asked: Asked) -> None:
    again, _ = read_asked_frame(asked_frame(asked))
    assert again.text == asked.text and digest_arrays(again.arrays) == digest_arrays(asked.arrays)
    answered = lent(site_with, asked)
    passed = read_answered_frame(answered_frame(answered))
    assert passed.header == answered.header and digest_arrays(passed.arrays or {}) == digest_arrays(
        answered.arrays or {}
    )


def test_other_questions_are_read_as_before(experiment: Experiment) -> None:
    query = QueryRequest(run="run-1", kind="finish", experiment=experiment.to_json())
    assert read_query(query.to_json()) == query
    for text in ("{}", '{"kind":"cues"}', query.to_json().replace("finish", "images")):
        with pytest.raises(MalformedMessageError):
            read_query(text)


def without_hq(site_with: SiteWith, tiny_sites: list[SiteData], **policy: Any) -> Any:
    """A site file that names no HQ images; its patients are dealt anew, for the split file names them."""
    images = tiny_sites[0].config.images
    folders = {name: str(folder) for name, folder in images if folder is not None and name != "hq"}
    forget_sites()
    return site_with(images=folders, split={"validation": 0.1, "test": 0.2}, policy=policy)


def asked_to_train(
    experiment: Experiment, state: dict[str, torch.Tensor], cues: Arrays, steps: int = 1
) -> Asked:
    request = train_request(experiment, steps=steps)
    names = renewed_keys(networks_of(experiment), "enhance", experiment)
    return Asked("train", request.to_json(), to_arrays(state, names) | cues)


@pytest.mark.parametrize(("policy", "steps"), [({}, 1), ({"minimum_images": 3}, 3)])
def test_a_site_without_hq_images_trains_with_lent_cues(
    policy: dict[str, Any],
    steps: int,
    site_with: SiteWith,
    tiny_sites: list[SiteData],
    experiment: Experiment,
    state: dict[str, torch.Tensor],
    bank: CueBank,
) -> None:
    file = without_hq(site_with, tiny_sites, **policy)
    request = asked_to_train(experiment, state, bank.to_arrays(), steps)
    answered = Governor(file, "simulation").answer(request, lambda asked: act(asked, file))
    assert answered.code is None and answered.arrays is not None
    assert {name.partition(".")[0] for name in answered.arrays} == {"generator"}
    header = read_message(answered.header, UpdateHeader)
    assert (header.groups, header.hq_images) == (["generator"], 0) and header.lq_images > 4


def test_it_declines_without_them_and_with_others(
    site_with: SiteWith,
    tiny_sites: list[SiteData],
    experiment: Experiment,
    state: dict[str, torch.Tensor],
    bank: CueBank,
) -> None:
    file = without_hq(site_with, tiny_sites)
    whole = bank.to_arrays()
    for cues, code in (
        ({}, SiteError.REQUEST),
        ({"cue_bank.counts": whole["cue_bank.counts"]}, SiteError.PARAMETERS),
        (whole | {"cue_bank.means": whole["cue_bank.means"] * np.float32(np.inf)}, SiteError.PARAMETERS),
    ):
        request = asked_to_train(experiment, state, cues)
        assert Governor(file, "simulation").answer(request, lambda asked: act(asked, file)).code is code


def test_cues_for_a_site_that_has_hq_images_are_refused(
    site_with: SiteWith, experiment: Experiment, state: dict[str, torch.Tensor], bank: CueBank
) -> None:
    forget_sites()
    file = site_with()
    for request in (
        asked_to_train(experiment, state, bank.to_arrays()),
        judge_request(experiment, state, {MEAN: bank.mean()}),
    ):
        assert (
            Governor(file, "simulation").answer(request, lambda asked: act(asked, file)).code
            is SiteError.PARAMETERS
        )


def judge_request(experiment: Experiment, state: dict[str, torch.Tensor], cues: Arrays) -> Asked:
    request = EvaluateRequest(
        run="run-1",
        phase="enhance",
        round=1,
        split="test",
        with_task=False,
        want_guidance=True,
        experiment=experiment_from_json(experiment.to_json(), "test").to_json(),
    )
    names = evaluation_keys(networks_of(experiment), experiment, with_task=False)
    return Asked("evaluate", request.to_json(), to_arrays(state, names) | cues)


def test_a_site_without_hq_images_judges_with_the_mean_cue(
    site_with: SiteWith,
    tiny_sites: list[SiteData],
    experiment: Experiment,
    state: dict[str, torch.Tensor],
    bank: CueBank,
) -> None:
    file = without_hq(site_with, tiny_sites)
    request = judge_request(experiment, state, {MEAN: bank.mean()})
    answered = Governor(file, "simulation").answer(request, lambda asked: act(asked, file))
    assert answered.code is None and answered.guidance is None and answered.header
    assert json.loads(answered.header)["scores"]["images"] > 0
    without = judge_request(experiment, state, {})
    assert Governor(file, "simulation").answer(without, lambda asked: act(asked, file)).code is SiteError.DATA
