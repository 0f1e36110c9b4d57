"""The cue extractor and the autoencoder that pretrains it."""

from __future__ import annotations

import pytest
import torch

from hqgnet.networks import AutoencoderDecoder, CueExtractor, reconstruct
from hqgnet.presets import PRESETS

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(17, 23), (64, 64), (97, 131)])
def test_shapes(channels: int, height: int, width: int) -> None:
    extractor, decoder = CueExtractor(TINY, channels).eval(), AutoencoderDecoder(TINY, channels).eval()
    images = torch.rand(2, channels, height, width)
    with torch.no_grad():
        assert extractor(images).shape == (2, 64)
        restored = reconstruct(extractor, decoder, images)
    assert restored.shape == images.shape
    assert restored.min() >= 0
    assert restored.max() <= 1


def test_guidance_is_the_linear_layer_on_the_pooled_trunk() -> None:
    extractor = CueExtractor(TINY, 3).eval()
    images = torch.rand(2, 3, 40, 56)
    with torch.no_grad():
        pooled = torch.nn.functional.adaptive_avg_pool2d(extractor.trunk(images), 1).flatten(1)
        torch.testing.assert_close(extractor(images), extractor.fc(pooled))


def test_decoder_transposes_the_trunk() -> None:
    numbers = PRESETS["paper"]
    decoder = AutoencoderDecoder(numbers, 3)
    with torch.device("meta"):
        features = torch.empty(1, 512, 3, 5)
        assert decoder.to("meta")(features).shape == (1, 3, 96, 160)


def test_autoencoder_learns_to_reconstruct() -> None:
    torch.manual_seed(0)
    extractor, decoder = CueExtractor(TINY, 1), AutoencoderDecoder(TINY, 1)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    images = torch.stack([rows, columns, 1 - rows, (rows - columns).abs()])[:, None]
    parameters = [*extractor.trunk.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=2e-3)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.mse_loss(reconstruct(extractor, decoder, images), images)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert losses[-1] < 0.3 * losses[0]
