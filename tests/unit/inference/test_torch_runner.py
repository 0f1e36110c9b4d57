"""The prepared network gives what the plain one gives, in float32 to the last digits, in bfloat16 nearly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError
from hqgnet.inference import TorchRunner, enhance_image, enhance_with, precision
from hqgnet.inference.folding import folded
from hqgnet.inference.precision import PrecisionError, has_fast_bfloat16, prepared_runner
from hqgnet.inference.torch_runner import PlainRunner
from tests.unit.inference.models import lively_model, smooth_image


@pytest.fixture(params=["hqgnet", "stillgan", "enlightengan"])
def experiment(request: pytest.FixtureRequest, tiny_experiment: Experiment) -> Experiment:
    return tiny_experiment.model_copy(update={"method": request.param})


def test_the_prepared_network_equals_the_plain_one(experiment: Experiment) -> None:
    model = lively_model(experiment)
    images = smooth_image(70, 45)
    with torch.inference_mode():
        expected = model.networks.enhance(images, model.guidance)
    assert float((expected - images).abs().max()) > 1e-3
    seen = TorchRunner(model).run(images, model.guidance)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(PlainRunner(model).run(images, model.guidance), expected, atol=0, rtol=0)


def test_preparing_leaves_the_model_as_it_was(tiny_experiment: Experiment) -> None:
    model = lively_model(tiny_experiment)
    before = {name: value.clone() for name, value in model.networks.state_dict().items()}
    TorchRunner(model, "bfloat16")
    after = model.networks.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_no_batch_normalisation_is_left_behind_a_convolution(tiny_experiment: Experiment) -> None:
    generator = folded(lively_model(tiny_experiment).networks.generator)
    assert not [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_normalisation_behind_an_activation_stays_and_counts() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.2), nn.BatchNorm2d(3)).eval()
    block[2].running_mean.fill_(0.3)
    images = torch.rand(1, 2, 5, 5)
    torch.testing.assert_close(folded(block)(images), block(images), atol=0, rtol=0)


def test_bfloat16_stays_close_and_is_told(tiny_experiment: Experiment) -> None:
    model = lively_model(tiny_experiment)
    image = smooth_image(64, 48)[0]
    runner, error = prepared_runner(model, "bfloat16", image, model.guidance)
    assert runner.precision == "bfloat16" and error is not None
    assert 0 < error.worst < precision.WORST_PIXEL and 0 < error.mean < precision.MEAN_PIXEL
    exact = enhance_image(model, image, model.guidance)
    seen = enhance_with(runner, image, model.guidance)
    assert float((exact - seen).abs().max()) == pytest.approx(error.worst, abs=2e-6)


def test_auto_keeps_float32_where_the_machine_or_the_image_asks_for_it(
    tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively_model(tiny_experiment)
    image = smooth_image(48, 48)[0]
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: False)
    runner, error = prepared_runner(model, "auto", image, model.guidance)
    assert runner.precision == "float32" and error is None
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda device: True)
    assert prepared_runner(model, "auto", image, model.guidance)[0].precision == "bfloat16"
    monkeypatch.setattr(precision, "WORST_PIXEL", 1e-9)
    runner, error = prepared_runner(model, "auto", image, model.guidance)
    assert runner.precision == "float32" and error is not None and not error.is_small


def test_an_error_that_is_no_number_is_not_small() -> None:
    assert not PrecisionError(float("nan"), 0.0).is_small


def test_fast_bfloat16_is_what_the_processor_says() -> None:
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    expected = "avx512_bf16" in flags or "amx_bf16" in flags or " bf16" in flags
    assert has_fast_bfloat16(torch.device("cpu")) is expected


def test_tiles_that_do_not_fit_are_refused_all_at_once(tiny_experiment: Experiment) -> None:
    from hqgnet.inference import TiledRunner

    model = lively_model(tiny_experiment)
    for tile, overlap, option in ((100, 32, "--tile"), (32, 0, "--tile"), (64, 48, "--overlap")):
        with pytest.raises(ConfigurationError) as caught:
            TiledRunner(model, "float32", tile=tile, overlap=overlap)
        assert [problem.where for problem in caught.value.problems] == [option]
