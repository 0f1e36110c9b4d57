"""Tiles: their plan, the whole image's statistics, and no seam."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from hqgnet.config import Experiment
from hqgnet.inference import TiledRunner, TorchRunner, folding, network, tiled_runner
from hqgnet.inference.pooled_statistics import Frame, Pooled, PooledStatistics, SweptError
from hqgnet.inference.tile_plan import TilePlan
from tests.unit.inference.models import lively_model, smooth_image

PLANS = [(320, 256, 128, 64, 32), (160, 992, 128, 0, 32), (96, 64, 128, 64, 32), (1024, 544, 512, 64, 16)]


@pytest.mark.parametrize("numbers", PLANS)
def test_cores_cover_each_pixel_once_and_tiles_begin_at_the_stride(numbers: tuple[int, ...]) -> None:
    plan = TilePlan(*numbers)
    counted = torch.zeros(plan.height, plan.width)
    weights = torch.zeros(plan.height, plan.width)
    for rows, columns in plan.tiles:
        counted[rows.core_start : rows.core_stop, columns.core_start : columns.core_stop] += 1
        weights[rows.start : rows.stop, columns.start : columns.stop] += plan.weight(rows, columns)
        for span, length in ((rows, plan.height), (columns, plan.width)):
            assert span.start % plan.stride == 0 and span.stop <= length
            assert span.stop - span.start == min(plan.tile, length)
    assert torch.equal(counted, torch.ones_like(counted))
    assert float(weights.min()) > 0


@pytest.mark.parametrize("numbers", PLANS)
def test_neighbours_share_the_overlap_at_least(numbers: tuple[int, ...]) -> None:
    plan = TilePlan(*numbers)
    columns = sorted({(span.start, span.stop) for _, span in plan.tiles})
    for (_, stop), (start, _) in pairwise(columns):
        assert stop - start >= plan.overlap


@pytest.mark.parametrize("scale", [1, 4, 32])
def test_statistics_over_tiles_are_those_of_the_whole(scale: int) -> None:
    plan = TilePlan(320, 256, 128, 64, 32)
    generator = torch.Generator().manual_seed(1)
    features = 100.0 + torch.randn(1, 3, 320 // scale, 256 // scale, generator=generator)
    frame = Frame(plan.height, plan.width)
    pooled = PooledStatistics(frame)
    for rows, columns in plan.tiles:
        frame.rows, frame.columns = rows, columns
        part = features[..., rows.start // scale : rows.stop // scale, :]
        frame.awaited = 1
        with pytest.raises(SweptError):
            pooled(part[..., columns.start // scale : columns.stop // scale])
    assert pooled.settle() == float("inf")
    variance, mean = pooled(features[..., :4, :4])
    expected_variance, expected_mean = torch.var_mean(features.double(), dim=(2, 3), correction=0)
    torch.testing.assert_close(variance.double(), expected_variance, rtol=1e-6, atol=0)
    torch.testing.assert_close(mean.double(), expected_mean, rtol=1e-7, atol=0)


def _run(experiment: Experiment, image: Tensor, *, overlap: int) -> tuple[Tensor, Tensor, TiledRunner]:
    model = lively_model(experiment)
    tiled = TiledRunner(model, "float32", tile=128, overlap=overlap)
    seen = tiled.run(image, model.guidance)
    return seen, TorchRunner(model).run(image, model.guidance), tiled


def test_tiles_come_close_to_the_whole_image(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closer than without the whole image's statistics, which are what the sweeps are for."""
    image = smooth_image(250, 300)
    seen, whole, tiled = _run(tiny_experiment, image, overlap=64)
    change = (whole - image).abs()
    assert float((seen - whole).abs().max()) < 0.15 * float(change.max())
    assert float((seen - whole).abs().mean()) < 0.05 * float(change.mean())
    assert 2 <= tiled.sweeps <= 5
    monkeypatch.setattr(tiled_runner, "pool_statistics", lambda network, frame: [])
    alone, _, _ = _run(tiny_experiment, image, overlap=64)
    assert float((alone - whole).abs().mean()) > 1.5 * float((seen - whole).abs().mean())


@pytest.mark.parametrize(
    ("overlap", "shared", "is_seen"), [(32, True, False), (64, True, False), (0, False, True)]
)
def test_no_seam_is_seen(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch, overlap: int, shared: bool, is_seen: bool
) -> None:
    """Where tiles meet, steps from pixel to pixel are not those of a seam.

    The difference from the whole image's result has a step of its own there. It must be small beside the
    steps that the enhancement makes anywhere; tiles laid side by side, each by itself, show what a seam is.
    """
    if not shared:
        monkeypatch.setattr(tiled_runner, "pool_statistics", lambda network, frame: [])
    image = smooth_image(256, 320)
    seen, whole, _ = _run(tiny_experiment, image, overlap=overlap)
    plan = TilePlan(256, 320, 128, overlap, 32)
    spans = [span for _, span in plan.tiles]
    places = {place for span in spans for place in (span.start, span.stop, span.core_start)} - {0, 320}
    steps = (seen - whole).diff(dim=-1).abs().mean(dim=(0, 1, 2))
    usual = float((whole - image).diff(dim=-1).abs().mean())
    worst = max(float(steps[place - 1]) for place in places)
    assert (worst > 2.0 * usual) if is_seen else (worst < 0.5 * usual)


def test_convolutions_alone_are_tiled_exactly_but_for_the_overlap(tiny_experiment: Experiment) -> None:
    """EnlightenGAN takes no statistics of the image: one sweep is the image, none comes before it."""
    experiment = tiny_experiment.model_copy(update={"method": "enlightengan"})
    seen, whole, tiled = _run(experiment, smooth_image(200, 230), overlap=96)
    assert tiled.sweeps == 0
    assert float((seen - whole).abs().max()) < 2e-3


def test_stillgan_is_tiled_with_the_whole_images_statistics(tiny_experiment: Experiment) -> None:
    experiment = tiny_experiment.model_copy(update={"method": "stillgan"})
    seen, whole, _ = _run(experiment, smooth_image(160, 160), overlap=64)
    assert float((seen - whole).abs().mean()) < 0.01


class Watched(nn.Module):
    """Counts the calls of what it stands for."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.calls = 0

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        result: Tensor = self.layer(features)
        return result


def test_sweeps_end_behind_the_last_statistic_and_the_image_gathers_none(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a sweep only the statistics are wanted, of the run that gives the image only the image."""
    model = lively_model(tiny_experiment)
    model.networks.generator.last = Watched(model.networks.generator.last)
    gathered = []
    gather = Pooled._gather
    monkeypatch.setattr(
        Pooled, "_gather", lambda self, features: (gathered.append(self), gather(self, features))[1]
    )
    seen: list[Watched] = []
    borders = tiled_runner.mind_borders

    def watched_borders(network: nn.Module, frame: Frame) -> None:
        borders(network, frame)
        seen.extend(layer for layer in network.modules() if isinstance(layer, Watched))

    monkeypatch.setattr(tiled_runner, "mind_borders", watched_borders)
    tiled = TiledRunner(model, "float32", tile=128, overlap=64)
    tiled.run(smooth_image(160, 192), model.guidance)
    tiles = len(TilePlan(160, 192, 128, 64, 32).tiles)
    assert sum(layer.calls for layer in seen) == tiles
    assert len(gathered) == tiled.sweeps * tiles * len(set(map(id, gathered)))


def test_a_runner_is_prepared_once_and_remembers_no_image(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively_model(tiny_experiment)
    first, second = smooth_image(160, 192), smooth_image(192, 140, seed=1)
    expected = [TiledRunner(model, "float32", tile=128, overlap=64).run(second, model.guidance)]
    folds = []
    monkeypatch.setattr(
        network, "folded", lambda generator: (folds.append(generator), folding.folded(generator))[1]
    )
    tiled = TiledRunner(model, "float32", tile=128, overlap=64)
    for image in (first, second):
        given = tiled.run(image, model.guidance)
    assert torch.equal(given, expected[0])
    assert len(folds) == 1


def test_an_image_within_a_tile_is_run_whole(tiny_experiment: Experiment) -> None:
    seen, whole, tiled = _run(tiny_experiment, smooth_image(128, 90), overlap=64)
    assert torch.equal(seen, whole) and tiled.sweeps == 0


def test_instance_normalisation_is_replaced_by_the_same_numbers() -> None:
    from hqgnet.inference.pooled_statistics import pool_statistics

    network = nn.Sequential(nn.InstanceNorm2d(4))
    features = torch.randn(1, 4, 9, 7, generator=torch.Generator().manual_seed(2))
    expected = network(features)
    [_] = pool_statistics(network, Frame(9, 7))
    torch.testing.assert_close(network(features), expected, atol=1e-6, rtol=1e-5)
