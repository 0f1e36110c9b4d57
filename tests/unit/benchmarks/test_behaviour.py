"""What a model does, told of models whose doing is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.behaviour import behaviour
from hqgnet.config import Experiment
from hqgnet.data.site_data import SiteData
from hqgnet.model_file import Model
from hqgnet.networks import networks_of


@pytest.fixture
def model(tiny_experiment: Experiment) -> Model:
    torch.manual_seed(3)
    networks = networks_of(tiny_experiment).eval()
    return Model(networks, tiny_experiment, None, {"task_trained": True})


def brighter(lq: Tensor, guidance: Tensor | None) -> Tensor:
    del guidance
    return (lq + 0.05).clamp(0, 1)


def test_a_shift_of_brightness_is_told_and_no_use_of_the_guide(
    model: Model, tiny_sites: list[SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.networks, "enhance", brighter)
    found = behaviour(model, tiny_sites[0], "test")
    assert 0.03 < found["brightness_made"] < 0.0501
    assert found["change"] == pytest.approx(found["brightness_made"], abs=1e-6)
    assert found["change_without_guide"] == 0.0
    assert found["brightness_needed"] is not None


def test_the_twin_as_output_reaches_the_ceiling(
    model: Model, tiny_sites: list[SiteData], monkeypatch: pytest.MonkeyPatch
) -> None:
    items = list(tiny_sites[0].evaluation_items("test", model.experiment.image_size))
    twins = {item.lq.numpy().tobytes(): item.twin for item in items}

    def perfect(lq: Tensor, guidance: Any) -> Tensor:
        del guidance
        twin = twins[lq[0].numpy().tobytes()]
        assert twin is not None
        return twin.unsqueeze(0)

    monkeypatch.setattr(model.networks, "enhance", perfect)
    found = behaviour(model, tiny_sites[0], "test")
    assert found["brightness_made"] == pytest.approx(found["brightness_needed"], abs=1e-6)
    assert found["dice_enhanced"] == found["dice_twin"]


def test_a_model_whose_segmentor_is_untrained_has_no_dice(model: Model, tiny_sites: list[SiteData]) -> None:
    untrained = Model(model.networks, model.experiment, None, {"task_trained": False})
    found = behaviour(untrained, tiny_sites[0], "test", guides=1)
    assert {found[f"dice_{version}"] for version in ("original", "enhanced", "twin")} == {None}
    assert found["cue_length"] is found["cue_spread"] is None
    assert found["change_without_guide"] > 0.0
