"""What several processes cannot do alike is refused, and shares are equal; the training itself is in e2e."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from hqgnet.config import Experiment
from hqgnet.data.batches import Batch
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError
from hqgnet.ranks import Ranks, gathered, own_share, ranks_at_work, working
from hqgnet.training.local import LocalTrainer
from hqgnet.training.parallel import team
from hqgnet.training.parallel.batch_norm import SharedBatchNorm2d, share_batch_norm
from hqgnet.training.parallel.checks import refuse_unequal
from hqgnet.training.parallel.dealing import empty_tensors, shapes_of
from tests.unit.training.systems import CPU, edited


def refusals(experiment: Experiment, data: list[SiteData], count: int) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        refuse_unequal(experiment, data, count)
    return [problem.what for problem in raised.value.problems]


def test_unequal_shares_are_refused_with_what_would_fit(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    experiment = edited(tiny_experiment, training={"batch_size": 4})
    for fitting in (1, 2, 4):
        refuse_unequal(experiment, tiny_sites[:1], fitting)
    with pytest.raises(ConfigurationError, match="Name 1 or 2 or 4 devices"):
        refuse_unequal(experiment, tiny_sites[:1], 3)
    site = tiny_sites[0]
    three = site.config.model_copy(update={"devices": ("cpu", "cpu", "cpu"), "device": "cpu"})
    with pytest.raises(ConfigurationError, match="4 images cannot be dealt in equal shares to 3"):
        LocalTrainer(experiment, [replace(site, config=three)], CPU)


def test_what_remembers_or_lacks_labels_is_refused(
    tiny_experiment: Experiment, tiny_sites: list[SiteData]
) -> None:
    pooled = edited(tiny_experiment, method="stillgan", stillgan={"pool": 3})
    assert "pool of earlier images" in refusals(pooled, tiny_sites[:1], 2)[0]
    refuse_unequal(edited(tiny_experiment, method="stillgan", stillgan={"pool": 0}), tiny_sites[:1], 2)
    without = replace(
        tiny_sites[1],
        lq={
            split: tuple(replace(sample, mask=None) for sample in samples)
            for split, samples in tiny_sites[1].lq.items()
        },
    )
    assert tiny_sites[0].has_masks and not without.has_masks
    found = refusals(tiny_experiment, [tiny_sites[0], without], 2)
    assert "only some have masks" in found[0]


def test_alone_nothing_is_exchanged() -> None:
    tensor = torch.rand(4, 2)
    assert ranks_at_work() is None
    assert torch.equal(gathered(tensor), tensor[None]) and own_share(tensor) is tensor
    with working(Ranks(1, 2)):
        assert torch.equal(own_share(tensor), tensor[2:])
    assert ranks_at_work() is None


def test_sharing_keeps_names_and_numbers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4, momentum=0.2), nn.ReLU()))
    images = torch.rand(3, 3, 8, 8)
    names, expected = list(model.state_dict()), model(images)
    weights = dict(model.named_parameters())
    share_batch_norm(model)
    assert isinstance(model[1][0], SharedBatchNorm2d)  # type: ignore[index]
    assert list(model.state_dict()) == names
    assert all(weights[name] is parameter for name, parameter in model.named_parameters())
    assert torch.equal(model(images), expected)
    share_batch_norm(model)  # once more changes nothing
    with pytest.raises(ConfigurationError, match="BatchNorm1d"):
        share_batch_norm(nn.Sequential(nn.BatchNorm1d(2)))


def test_shapes_survive_the_way() -> None:
    batch = Batch(torch.rand(2, 3, 4, 4), torch.rand(0, 3, 4, 4), labelled=torch.tensor([True, False]))
    given = {
        "lq": batch.lq,
        "hq": batch.hq,
        "labelled": torch.ones(2, dtype=torch.bool),
        "n": torch.tensor(3),
    }
    made = empty_tensors(shapes_of(given), CPU)
    assert {name: (value.shape, value.dtype) for name, value in made.items()} == {
        name: (value.shape, value.dtype) for name, value in given.items()
    }


def test_the_site_file_names_devices(tiny_site_files: list[Path]) -> None:
    from hqgnet.data.site_config import SiteConfig, load_site_config

    given = load_site_config(tiny_site_files[0]).model_dump(exclude={"device", "devices", "split"})
    config = SiteConfig.model_validate({**given, "devices": ["cuda:0", "cuda:1"]})
    assert config.device == "cuda:0"
    assert SiteConfig.model_validate(config.model_dump(exclude={"split"})) == config
    for wrong in (["cuda:0", "cuda:0"], ["cpu", "cuda:0"], ["cuda"], []):
        with pytest.raises(ValueError, match="devices"):
            SiteConfig.model_validate({**given, "devices": wrong})
    with pytest.raises(ValueError, match="keep devices alone"):
        SiteConfig.model_validate({**given, "device": "cpu", "devices": ["cuda:0", "cuda:1"]})


def test_a_team_takes_as_much_memory_as_it_may_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    class StandIn:
        is_whole = True

        def __init__(self, devices: Sequence[torch.device], *, memory_fraction: float | None) -> None:
            self.devices, self.memory_fraction, self.closed = tuple(devices), memory_fraction, False

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(team, "Team", StandIn)
    monkeypatch.setattr(team, "_OPEN", [])
    first = team.team_of([CPU, CPU], None)
    assert team.team_of([CPU, CPU], None) is first
    second = team.team_of([CPU, CPU], 0.5)
    assert second is not first and second.memory_fraction == 0.5 and first.closed  # type: ignore[attr-defined]
    assert team.team_of([CPU, CPU], 0.5) is second
