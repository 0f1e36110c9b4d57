"""Whole federations with sites that lack something: who lends cues, who is guided by them, who sits out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message

from client.site import forget_sites
from hqgnet.config import Experiment
from hqgnet.cue_bank import CueBank, without_cues
from hqgnet.errors import ConfigurationError, QuorumError
from hqgnet.exchange.packing import PACKED, pack, unpack
from hqgnet.exchange.update import ARRAYS, HEADER, JSON_KEY
from hqgnet.model_file import Model, load_model
from server import wire
from server.checkpoints import load_state
from server.display import line_of
from tests.unit.server.hospital import hospital
from tests.unit.server.recorded import events, lent_in, requests

Run = Callable[..., Any]
LENDS = {"cue_bank": True, "minimum_hq_images": 4}


@pytest.fixture(scope="module")
def sites(tiny_site_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Path]]:
    """Site 0 and 1 have HQ images and the given policies, site 2 has none."""

    def make(*policies: dict[str, Any]) -> list[Path]:
        folder = tmp_path_factory.mktemp("hospitals")
        rich = [
            hospital(file, folder / f"rich-{number}", policy=policy)
            for number, (file, policy) in enumerate(zip(tiny_site_files, policies, strict=True))
        ]
        return [*rich, hospital(tiny_site_files[0], folder / "poor", hq=False)]

    return make


@pytest.fixture(scope="module")
def experiment(quick_experiment: Experiment, shorten: Run) -> Experiment:
    return with_bank(shorten(quick_experiment, pretrain=1, enhance=3, cooperate=1))


def with_bank(experiment: Experiment, **changes: Any) -> Experiment:
    given = experiment.model_dump()
    given["federation"] |= {"cue_bank": {"enabled": True, "minimum_images": 4, "refresh": 2}} | changes
    given["evaluation"] |= {"every": 3}
    return Experiment.model_validate(given)


@pytest.fixture(scope="module")
def lending(federate: Run, experiment: Experiment, sites: Run) -> Any:
    return federate(experiment, sites(LENDS, LENDS), unlabelled=frozenset({1}))


def test_a_site_without_hq_images_trains_and_judges_with_lent_cues(lending: Any) -> None:
    rows = lending.rows("rounds.jsonl")
    assert [sorted(row["sites"]) for row in rows] == [["site-0", "site-1", "site-2"]] * 5
    assert not any(row["failed"] or row["sitting_out"] or row["absent"] for row in rows)
    losses = {row["phase"]: row["sites"]["site-2"]["losses"] for row in rows}
    assert set(losses["pretrain"]) == {"reconstruction"}
    assert not {"adversarial", "discriminator"} & set(losses["enhance"])
    assert {"haar", "segmentation"} <= set(losses["cooperate"])
    # Site 1 lacks masks, and trains the enhancer alone.
    assert "segmentation" not in rows[-1]["sites"]["site-1"]["losses"]
    judged = [row for row in lending.rows("metrics.jsonl") if row.get("site") == "site-2"]
    assert [row["split"] for row in judged] == ["validation", "validation", "test"]
    assert all(row["psnr_enhanced"] is not None for row in judged)
    sent = {
        name.partition(".")[0]
        for reply in lending.grid.replies
        if reply.metadata.message_type == "train" and reply.metadata.src_node_id == 1002
        for name in wire.read_arrays(reply.content)
    }
    assert not sent & {"discriminator"}


def test_cues_go_to_nobody_else(lending: Any) -> None:
    for kind, names in (
        ("train", {"cue_bank.counts", "cue_bank.means", "cue_bank.covariances"}),
        ("evaluate", {"cue_bank.mean"}),
    ):
        asked = requests(lending, kind)
        guided = [(node, message) for node, message in asked if lent_in(message)]
        assert {node for node, _ in guided} == {2}
        assert all(set(lent_in(message)) == names for _, message in guided)
    first = next(message for node, message in requests(lending, "train") if lent_in(message))
    assert [list(counts) for counts in [lent_in(first)["cue_bank.counts"]]] == [[8, 8]]


def test_cues_are_collected_anew_as_the_cue_extractor_moves(lending: Any) -> None:
    asked = events(lending, "cues")
    # At the start of enhance, before its third round, for each model that is judged; the judged model's serve
    # the phase that follows, which starts from it.
    assert [(event["phase"], event["round"]) for event in asked] == [
        ("enhance", 1),
        ("enhance", 3),
        ("enhance", 3),
        ("cooperate", 1),
    ]
    assert all((event["sites"], event["images"]) == (["site-0", "site-1"], 16) for event in asked)
    accepted = lending.audited("cues-accepted")
    assert len(accepted) == 8 and len({row["digest"] for row in accepted}) == 8
    assert {row["images"] for row in accepted} == {8}
    for file in lending.files[:2]:
        log = (file.parent / "work" / "audit.jsonl").read_text()
        assert log.count('"query":"cues"') == 8  # asked and left, four times


def test_the_published_model_holds_the_bank_and_its_mean(lending: Any) -> None:
    for name in ("enhance", "cooperate", "best"):
        model: Model = load_model(lending.directory.models / f"{name}.safetensors")
        assert model.bank is not None and model.guidance is not None
        assert [entry.count for entry in model.bank.entries] == [8, 8]
        np.testing.assert_array_equal(model.guidance.numpy()[0], model.bank.mean())
    judged = [lent_in(message) for _, message in requests(lending, "evaluate") if lent_in(message)]
    assert model.bank is not None
    np.testing.assert_array_equal(judged[-1]["cue_bank.mean"], model.bank.mean())
    assert load_model(lending.directory.models / "pretrain.safetensors").bank is None


def test_what_sites_lack_is_said_at_the_start(lending: Any) -> None:
    said = {event["name"]: line_of(event) for event in events(lending, "part")}
    assert said == {
        "site-1": "site-1: trains cooperate (no masks: the enhancer alone)",
        "site-2": "site-2: trains pretrain (no HQ images: on LQ images alone); trains enhance (no HQ images: "
        "with cues of the bank, without L_GAN); trains cooperate (no HQ images: with cues of the bank, "
        "without L_GAN); judges models with the bank's mean cue",
    }


def test_nobody_lends_unless_the_hospital_says_so(federate: Run, experiment: Experiment, sites: Run) -> None:
    run = federate(experiment, sites({}, {"cue_bank": True, "minimum_hq_images": 9}))
    rows = run.rows("rounds.jsonl")
    assert [sorted(row["sites"]) for row in rows] == [["site-0", "site-1", "site-2"]] + [
        ["site-0", "site-1"]
    ] * 4
    reason = {"site-2": "no HQ images, and the bank holds no cues"}
    assert [row["sitting_out"] for row in rows] == [{}] + [reason] * 4
    asked = events(run, "cues")[0]
    assert (asked["phase"], asked["round"]) == ("enhance", 1)
    assert asked["failed"] == {"site-0": "policy-cues", "site-1": "policy-cues"}
    line = line_of(asked) or ""
    assert "nobody lends any" in line and "site-2" in line and "policy.cue_bank: true" in line
    # Who has declined is asked again in the next phase, and not before.
    assert (
        len(
            {
                message.metadata.group_id
                for _, message in requests(run, "query")
                if "cues" in message.metadata.group_id
            }
        )
        <= 3
    )
    evaluation = events(run, "evaluation")[-1]
    assert evaluation["sitting_out"] == reason
    assert not any(row.get("site") == "site-2" for row in run.rows("metrics.jsonl"))
    assert load_model(run.directory.models / "best.safetensors").bank is None


def test_bad_cues_are_left_out_and_the_run_goes_on(
    federate: Run, shorten: Run, experiment: Experiment, sites: Run
) -> None:
    def tamper(request: Message, reply: Message) -> Message:
        if request.metadata.dst_node_id == 1000 and "cues" in request.metadata.group_id:
            arrays = unpack(reply.content.array_records[ARRAYS][PACKED].numpy())
            changed = {
                **arrays,
                "cue_bank.covariance": -arrays["cue_bank.covariance"] - np.eye(64, dtype=np.float32),
            }
            reply.content[ARRAYS] = ArrayRecord({PACKED: Array(pack(changed))})
        return reply

    run = federate(shorten(experiment, pretrain=1, enhance=1), sites(LENDS, LENDS), tamper)
    assert {row["code"] for row in run.audited("cues-refused")} == {"cues-implausible"}
    assert all(event["sites"] == ["site-1"] for event in events(run, "cues"))
    assert all(sorted(row["sites"]) == ["site-0", "site-1", "site-2"] for row in run.rows("rounds.jsonl"))
    bank = load_model(run.directory.models / "best.safetensors").bank
    assert bank is not None and [entry.count for entry in bank.entries] == [8]


def test_cues_of_more_images_than_declared_are_refused(
    federate: Run, shorten: Run, experiment: Experiment, sites: Run
) -> None:
    def tamper(request: Message, reply: Message) -> Message:
        if request.metadata.dst_node_id == 1001 and "cues" in request.metadata.group_id:
            text = str(reply.content.config_records[HEADER][JSON_KEY]).replace('"images":8', '"images":800')
            reply.content[HEADER] = ConfigRecord({JSON_KEY: text})
        return reply

    run = federate(shorten(experiment, enhance=1), sites(LENDS, LENDS), tamper)
    assert {row["code"] for row in run.audited("cues-refused")} == {"image-counts-differ-from-data-card"}
    assert run.rows("rounds.jsonl")[-1]["counted"]


def test_without_a_bank_a_site_without_hq_images_sits_out_and_it_is_said(
    federate: Run, quick_experiment: Experiment, shorten: Run, sites: Run
) -> None:
    run = federate(shorten(quick_experiment, pretrain=1, enhance=1), sites({}, {}))
    first, second = run.rows("rounds.jsonl")
    assert sorted(first["sites"]) == ["site-0", "site-1", "site-2"]
    assert sorted(second["sites"]) == ["site-0", "site-1"]
    assert second["sitting_out"] == {"site-2": "no HQ images, and federation.cue_bank is off"}
    assert second["absent"] == []
    assert not events(run, "cues")


def test_a_site_that_can_do_nothing_is_left_out_with_a_remedy(
    federate: Run, quick_experiment: Experiment, shorten: Run, sites: Run
) -> None:
    run = federate(shorten(quick_experiment, enhance=1), sites({}, {}))
    [left_out] = events(run, "left-out")
    assert "site-2 can neither train nor judge models here" in left_out["reason"]
    assert "federation.cue_bank is off" in left_out["reason"]
    assert [sorted(row["sites"]) for row in run.rows("rounds.jsonl")] == [["site-0", "site-1"]]


def test_too_few_sites_for_a_phase_are_a_mistake_before_the_first_round(
    assemble: Run, quick_experiment: Experiment, shorten: Run, sites: Run
) -> None:
    given = shorten(quick_experiment, pretrain=1, enhance=1).model_dump()
    given["federation"]["minimum_sites"] = 3
    run = assemble(Experiment.model_validate(given), sites({}, {}))
    with pytest.raises(
        ConfigurationError, match=r"2 sites can train in phase enhance, 3 are wanted \(site-2: no HQ"
    ):
        run.start()
    assert not requests(run, "train")


def test_the_order_of_replies_does_not_matter(
    lending: Any, federate: Run, experiment: Experiment, sites: Run
) -> None:
    again = federate(experiment, lending.files, backwards=True)
    first, second = lending.model("best"), again.model("best")
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.faults
@pytest.mark.parametrize("stopped_after", [2, 4])
def test_a_resumed_run_has_the_bank_of_the_unbroken_one(
    stopped_after: int,
    lending: Any,
    assemble: Run,
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from server.rounds import Rounds

    run = assemble(experiment, lending.files)
    whole = Rounds._round

    def stop(self: Rounds, phase: Any, number: int) -> None:
        if self._at.global_round == stopped_after:
            raise KeyboardInterrupt
        whole(self, phase, number)

    with monkeypatch.context() as patch:
        patch.setattr(Rounds, "_round", stop)
        with pytest.raises(KeyboardInterrupt):
            run.start()
    state = load_state(run.directory.state)
    assert state is not None
    position, arrays = state
    kept, _ = without_cues(arrays)
    assert CueBank.from_arrays(kept, 64, 20.0).images == 16 and len(position.cues_extractor) == 64
    forget_sites()
    run.start(resume=True)
    first, second = lending.model("best"), run.model("best")
    assert first.keys() == second.keys() and any(name.startswith("cue_bank.") for name in first)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    unbroken, resumed = (
        [(event["phase"], event["round"]) for event in events(one, "cues")] for one in (lending, run)
    )
    assert sorted(set(resumed)) == sorted(set(unbroken))


def test_no_cues_and_too_few_others_is_no_quorum(federate: Run, experiment: Experiment, sites: Run) -> None:
    rich, _, poor = sites({}, {})
    with pytest.raises(QuorumError, match="0 of 2 valid updates in enhance round 1"):
        federate(with_bank(experiment, minimum_sites=2, wait_for_sites_s=0.5, attempts=1), [rich, poor])
