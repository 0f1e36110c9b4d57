"""What the hospital's policy says of requests, and what stands in the audit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.actions import act
from client.governor import Governor
from client.message import Answered, Asked
from client.site import forget_sites
from hqgnet.config import Experiment
from hqgnet.exchange.arrays import digest_arrays, distance
from hqgnet.exchange.update import (
    QueryReply,
    QueryRequest,
    SiteError,
    TrainRequest,
    read_message,
)
from tests.unit.client.recorded_site import Recorded, SiteWith, bare, events, refusal

ROOT = Path(__file__).parents[3]


def test_the_governor_loads_no_heavy_library() -> None:
    code = (
        "import sys, client.governor, client.approvals; "
        "sys.exit(bool({'torch', 'monai', 'scipy', 'PIL', 'flwr'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_default_policy_changes_nothing(
    requests: dict[str, Asked], answers: dict[str, Answered], site_with: SiteWith
) -> None:
    file = site_with()
    forget_sites()
    for kind in ("query", "train", "evaluate"):
        governed = Governor(file, "simulation").answer(requests[kind], lambda asked: act(asked, file))
        plain = answers[kind]
        assert governed.code is None and governed.header and plain.header
        assert json.loads(governed.header) | {"seconds": 0} == json.loads(plain.header) | {"seconds": 0}
        for ours, theirs in ((governed.arrays, plain.arrays), (governed.guidance, plain.guidance)):
            assert (ours is None) == (theirs is None)
        if plain.arrays is not None and governed.arrays is not None:
            assert len(plain.arrays) > 10 and list(governed.arrays) == list(plain.arrays)
            assert digest_arrays(governed.arrays) == digest_arrays(plain.arrays)
        if plain.guidance is not None and governed.guidance is not None:
            assert np.array_equal(governed.guidance, plain.guidance)
        assert governed.audit_head == events(file)[-1]["hash"]
    assert answers["evaluate"].guidance is not None


def test_recorded_answers_pass_to_the_byte(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    for kind in ("query", "train", "evaluate"):
        governed = Governor(site_with(), "simulation").answer(requests[kind], site)
        assert governed.header == site.answers[kind].header
    assert [(asked.kind, asked.text) for asked in site.asked] == [
        (kind, requests[kind].text) for kind in ("query", "train", "evaluate")
    ]


def test_nothing_leaves_beside_what_was_read_of_an_answer(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    for kind in ("query", "train", "evaluate"):
        honest = site.answers[kind]
        assert honest.header is not None
        # JSON allows a key twice, and spaces; the last one counts.
        smuggled = honest.header.replace("{", '{ "run": "mueller-1956",', 1)
        site.answers[kind] = replace(honest, header=smuggled)
        assert Governor(site_with(), "simulation").answer(requests[kind], site).header == honest.header


def test_the_audit_tells_in_short_why_something_was_refused(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    update = site.answers["train"]
    site.answers["train"] = replace(
        update, arrays={**(update.arrays or {}), f"task.{'x' * 10**6}": np.zeros(1, np.float32)}
    )
    file = site_with()
    answered = Governor(file, "simulation").answer(requests["train"], site)
    assert bare(answered) == Answered(code=SiteError.POLICY_GROUPS)
    assert 20 < len(refusal(file)["reason"]) <= 300


def test_the_audit_tells_what_was_asked_and_what_left(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_experiment: Experiment
) -> None:
    file = site_with()
    answered = Governor(file, "ab" * 32).answer(requests["train"], site)
    asked, left = events(file)
    assert (asked["event"], left["event"]) == ("asked", "left")
    assert asked["facts"] | {"policy": ""} == {
        "kind": "train",
        "run": "run-1",
        "phase": "cooperate",
        "round": 1,
        "attempt": 0,
        "steps": 2,
        "experiment": tiny_experiment.digest(),
        "code": "ab" * 32,
        "policy": "",
    }
    assert answered.arrays is not None
    facts = left["facts"]
    assert facts["digest"] == digest_arrays(answered.arrays)
    assert facts["norm"] == pytest.approx(distance(answered.arrays, requests["train"].arrays))
    assert facts["norm"] > 0
    assert facts["bytes"] == sum(array.nbytes for array in answered.arrays.values())
    assert (facts["groups"], facts["arrays"]) == (
        ["cue_extractor", "generator", "task"],
        len(answered.arrays),
    )
    other = site_with(share_guidance=False)
    Governor(other, "ab" * 32).answer(requests["query"], site)
    assert events(other)[2]["facts"]["policy"] != asked["facts"]["policy"]
    assert not any(word in str(events(file)) for word in (".png", ".yaml", "images/", str(file.parent)))


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"phases": ["pretrain", "enhance"]}, SiteError.POLICY_PHASE),
        ({"strategies": []}, SiteError.POLICY_STRATEGY),
        ({"groups": ["cue_extractor", "generator"]}, SiteError.POLICY_GROUPS),
        ({"steps_per_round": 1}, SiteError.POLICY_STEPS),
        ({"megabytes_per_round": 0.01}, SiteError.POLICY_BYTES),
        ({"clip_norm": 1.0, "noise": {"multiplier": 1.0, "epsilon": 1.0}}, SiteError.POLICY_BUDGET),
    ],
)
def test_what_the_policy_forbids_is_refused_before_any_work(
    policy: dict[str, Any], code: SiteError, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(policy=policy)
    answered = Governor(file, "simulation").answer(requests["train"], site)
    assert bare(answered) == Answered(code=code)
    assert site.asked == []
    facts = refusal(file)
    # The server can anchor a refusal as it does an answer.
    assert answered.audit_head == events(file)[-1]["hash"]
    assert (facts["code"], facts["phase"], facts["round"]) == (code, "cooperate", 1)
    assert facts["reason"]
    # The end of a run is never refused; and the hospital's change holds at once.
    assert Governor(file, "simulation").answer(requests["finish"], site).code is None
    governor = Governor(site_with(policy={}), "simulation")
    assert governor.answer(requests["train"], site).code is None


@pytest.mark.parametrize("kind", ["train", "evaluate", "query"])
def test_no_class_is_built_that_the_hospital_has_not_listed(
    kind: str, requests: dict[str, Asked], site: Recorded, site_with: SiteWith, tiny_experiment: Experiment
) -> None:
    # Told such arguments, this one would fetch what the server names, from wherever the site reaches.
    network = "monai.networks.nets.hovernet:HoVerNet"
    arguments = {"adapt_standard_resnet": True, "pretrained_url": "http://127.0.0.1:9/weights"}
    settings = tiny_experiment.model_dump(mode="json")
    settings["downstream"] |= {"network": network, "arguments": arguments}
    text = json.loads(str(requests[kind].text)) | {"experiment": json.dumps(settings)}
    asked = replace(requests[kind], text=json.dumps(text))
    file = site_with()
    answered = Governor(file, "simulation").answer(asked, site)
    assert bare(answered) == Answered(code=SiteError.POLICY_NETWORK) and site.asked == []
    assert refusal(file)["reason"] == f"{network} is not in policy.networks"
    listed = site_with(policy={"networks": [network]})
    assert Governor(listed, "simulation").answer(asked, site).code is None and site.asked


def test_a_runs_private_state_is_deleted_at_its_end_even_if_the_images_are_away(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(images={"lq": "unmounted/lq", "hq": "unmounted/hq"})
    run = file.parent / "work" / "run-1"
    (run / "state" / "left-out").mkdir(parents=True)
    (run / "state" / "left-out" / "enhance-00000001.safetensors").touch()
    (run / "pictures").mkdir()
    answered = Governor(file, "simulation").answer(requests["finish"], site)
    assert answered.header is not None
    assert read_message(answered.header, QueryReply).card is None
    assert [path.name for path in run.iterdir()] == ["pictures"] and site.asked == []
    assert events(file)[-1]["facts"]["finished"] is True
    assert Governor(file, "simulation").answer(requests["finish"], site).code is None  # once more
    # A governor of another version that leaves it to the work does not tell it as done.
    assert act(requests["finish"], file).code is SiteError.REQUEST


def test_what_cannot_be_deleted_is_not_told_as_finished(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with()
    run = file.parent / "work" / "run-1"
    (run / "elsewhere").mkdir(parents=True)
    (run / "state").symlink_to(run / "elsewhere")  # rmtree does not follow it
    answered = Governor(file, "simulation").answer(requests["finish"], site)
    assert bare(answered) == Answered(code=SiteError.DISK)
    told = refusal(file)
    assert (told["query"], told["code"]) == ("finish", SiteError.DISK)
    assert "not deleted" in told["reason"] and str(run) not in told["reason"]
    log = (run / "site.log").read_text()
    assert str(run / "state") in log and "by hand" in log


def test_the_hospitals_own_deadline_holds_where_it_is_sooner(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    Governor(site_with(policy={"minutes_per_round": 0.5}), "simulation").answer(requests["train"], site)
    assert read_message(site.asked[0].text, TrainRequest).deadline_s == 30.0


def test_what_cannot_be_audited_or_charged_does_not_leave(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with(policy={"clip_norm": 1.0, "noise": {"multiplier": 2.0, "epsilon": 9.0}})
    work = file.parent / "work"
    (work / "audit.jsonl").mkdir(parents=True)
    governor = Governor(file, "simulation")
    assert governor.answer(requests["train"], site) == Answered(code=SiteError.DISK)
    (work / "audit.jsonl").rmdir()
    (work / "audit.jsonl").write_text("altered\n")
    assert governor.answer(requests["train"], site) == Answered(code=SiteError.INTERNAL)
    assert site.asked == []
    (work / "audit.jsonl").unlink()
    (work / "privacy.lock").mkdir()
    assert bare(governor.answer(requests["train"], site)) == Answered(code=SiteError.DISK)
    (work / "privacy.lock").rmdir()
    (work / "privacy.json").write_text("{")
    assert bare(governor.answer(requests["train"], site)) == Answered(code=SiteError.INTERNAL)
    (work / "privacy.json").write_text('{"version": 1, "releases": {}}')

    # The disk fills up while the site trains: the update is charged for, and stays.
    def fill(asked: Asked) -> Answered:
        (work / "audit.jsonl").unlink()
        (work / "audit.jsonl").mkdir()
        return site(asked)

    assert governor.answer(requests["train"], fill) == Answered(code=SiteError.DISK)
    assert '"2.0":1' in (work / "privacy.json").read_text().replace(" ", "")


def test_a_sites_own_refusal_is_passed_on(
    requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    file = site_with()
    site.answers["train"] = Answered(code=SiteError.DIVERGED)
    answered = Governor(file, "simulation").answer(requests["train"], site)
    assert bare(answered) == Answered(code=SiteError.DIVERGED)
    assert refusal(file)["code"] == SiteError.DIVERGED

    def fail(asked: Asked) -> Answered:
        raise RuntimeError("/images/patient-7.png")

    answered = Governor(file, "simulation").answer(requests["train"], fail)
    assert bare(answered) == Answered(code=SiteError.INTERNAL)
    assert "patient-7" not in (file.parent / "work/audit.jsonl").read_text()
    assert "patient-7" in (file.parent / "work/run-1/site.log").read_text()


@pytest.mark.parametrize("run", ["code", "bundles", "flower"])
def test_a_run_cannot_take_the_place_of_the_sites_own_folders(
    run: str, requests: dict[str, Asked], site: Recorded, site_with: SiteWith
) -> None:
    request = read_message(requests["finish"].text, QueryRequest).model_copy(update={"run": run})
    answered = Governor(site_with(), "simulation").answer(Asked("query", request.to_json()), site)
    assert bare(answered) == Answered(code=SiteError.REQUEST) and site.asked == []
