"""All networks of an experiment, from its method, numbers and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hqgnet.downstream_config import Task
from hqgnet.method_config import CLASSICAL_METHODS, AblationConfig, ClassicalMethod, Method
from hqgnet.networks.autoencoder import AutoencoderDecoder
from hqgnet.networks.classical import ClassicalEnhancer
from hqgnet.networks.csnet import SegmentationNetwork
from hqgnet.networks.cue_extractor import CUE_GRID, CueExtractor
from hqgnet.networks.discriminator import Discriminator
from hqgnet.networks.downstream import build_downstream
from hqgnet.networks.enlightengan import ATTENTION_UNET_WIDTHS, AttentionUNet, PlainDiscriminator
from hqgnet.networks.generator import Generator
from hqgnet.networks.stillgan import RES_UNET_WIDTHS, ResUNet
from hqgnet.presets import NetworkNumbers, OutputMode

if TYPE_CHECKING:
    from hqgnet.config import Experiment

_GLOBAL_LAYERS, _LOCAL_LAYERS = 5, 4


class Networks(nn.Module):
    """The networks of a method as parameter groups: names in ``state_dict`` begin with the group's name.

    Every method has a ``generator``, which enhances, a ``discriminator``, and a ``task``, the downstream
    network. This is also what uses them once they are trained.

    Args:
        generator: Enhances images.
        discriminator: All that is adversarial.
        task: The downstream network, from images to logits.
        task_kind: What its logits mean.
    """

    generator: nn.Module
    discriminator: nn.Module
    task: nn.Module
    task_kind: Task = "segmentation"

    @property
    def device(self) -> torch.device:
        """Where the networks are; without any parameter, the processor."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    @property
    def guidance_size(self) -> int:
        """Numbers in a guide; 0 for a method that takes none."""
        return 0

    def describe(self, hq: Tensor) -> Tensor | None:
        """Return guides (B, guidance_size) of HQ images (B, C, H, W) in [0, 1].

        None if the method takes none.
        """
        return None

    def enhance(self, lq: Tensor, guidance: Tensor | None) -> Tensor:
        """Enhance images.

        Args:
            lq: ``(B, C, H, W)`` in [0, 1], of any size.
            guidance: ``(B, guidance_size)``; ignored by methods that take none.

        Returns:
            ``(B, C, H, W)``; in training mode not always within [0, 1].
        """
        enhanced: Tensor = self.generator(lq)
        return enhanced

    def predict(self, images: Tensor) -> Tensor:
        """Return what the downstream network says of images (B, C, H, W) in [0, 1].

        Returns:
            Probability of the foreground, ``(B, 1, H, W)``, or of each grade, ``(B, 4)``; float32.
        """
        logits: Tensor = self.task(images).float()
        return logits.sigmoid() if self.task_kind == "segmentation" else logits.softmax(dim=1)


class HqgNetworks(Networks):
    """HQG-Net's.

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
        output: Overrides the numbers' output mode.
        ablation: Switches of Table V; without guidance of HQ images there is no cue extractor.
        make_task: Makes the downstream network; CS-Net if not given.
    """

    cue_extractor: CueExtractor
    generator: Generator
    discriminator: Discriminator
    autoencoder_decoder: AutoencoderDecoder

    def __init__(
        self,
        numbers: NetworkNumbers,
        channels: int,
        output: OutputMode | None = None,
        ablation: AblationConfig | None = None,
        make_task: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        ablation = ablation or AblationConfig()
        self._is_guided = ablation.guidance == "hq"
        self._by_features = ablation.guidance_vector == "feature"
        self._guidance_dim = numbers.guidance_dim
        self._feature_dim = numbers.cue_widths[3] * CUE_GRID**2
        # The order of these lines decides the weights that a seed gives.
        if self._is_guided:
            self.cue_extractor = CueExtractor(numbers, channels)
        self.generator = Generator(numbers, channels, output, ablation)
        self.discriminator = Discriminator(numbers, channels)
        self.task = make_task() if make_task else SegmentationNetwork(numbers, channels)
        if self._is_guided:
            self.autoencoder_decoder = AutoencoderDecoder(numbers, channels)

    @property
    def guidance_size(self) -> int:
        """Numbers in a guide: 64, more where feature maps guide, 0 without guidance of HQ images."""
        if not self._is_guided:
            return 0
        return self._feature_dim if self._by_features else self._guidance_dim

    def describe(self, hq: Tensor) -> Tensor | None:
        """Return v_z (B, 64) of HQ images, or their flattened feature maps (Eq. 1, Fig. 8)."""
        if not self._is_guided:
            return None
        features = self.cue_extractor.trunk(hq)
        return self.cue_extractor.grid(features) if self._by_features else self.cue_extractor.vector(features)

    def enhance(self, lq: Tensor, guidance: Tensor | None) -> Tensor:
        """Enhance images under guidance; see :meth:`Networks.enhance`."""
        return self.generator(lq, guidance)  # type: ignore[no-any-return]


class StillGanNetworks(Networks):
    """StillGAN's: a generator each way, and a discriminator of HQ and one of LQ images.

    Args:
        experiment: Gives preset and channels.
    """

    generator: ResUNet
    backward_generator: ResUNet
    discriminator: nn.ModuleDict

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        widths, channels = RES_UNET_WIDTHS[experiment.preset], experiment.channels
        self.generator = ResUNet(widths, channels)
        self.backward_generator = ResUNet(widths, channels)
        judges = {kind: Discriminator(experiment.numbers, channels) for kind in ("hq", "lq")}
        self.discriminator = nn.ModuleDict(judges)
        self.task = _task(experiment)


class EnlightenGanNetworks(Networks):
    """EnlightenGAN's: one generator, a discriminator of images and one of patches, and a feature network.

    The feature network is a cue extractor's trunk; it is pretrained as HQG-Net's is, or read from a file.

    Args:
        experiment: Gives preset and channels.
    """

    generator: AttentionUNet
    discriminator: nn.ModuleDict
    cue_extractor: CueExtractor
    autoencoder_decoder: AutoencoderDecoder

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        numbers, channels = experiment.numbers, experiment.channels
        self.cue_extractor = CueExtractor(numbers, channels)
        widths = ATTENTION_UNET_WIDTHS[experiment.preset]
        self.generator = AttentionUNet(widths, channels, numbers.normalization_momentum)
        layers = {"image": _GLOBAL_LAYERS, "patch": _LOCAL_LAYERS}
        width = numbers.discriminator_width
        judges = {kind: PlainDiscriminator(width, count, channels) for kind, count in layers.items()}
        self.discriminator = nn.ModuleDict(judges)
        self.task = _task(experiment)
        self.autoencoder_decoder = AutoencoderDecoder(numbers, channels)


class ClassicalNetworks(Networks):
    """A classical method and the downstream network: the former has no parameters, and no adversary.

    Args:
        method: Which.
        task: The downstream network.
    """

    generator: ClassicalEnhancer

    def __init__(self, method: ClassicalMethod, task: nn.Module) -> None:
        super().__init__()
        self.generator = ClassicalEnhancer(method)
        self.discriminator = nn.Identity()
        self.task = task


def _hqgnet(experiment: Experiment) -> HqgNetworks:
    return HqgNetworks(
        experiment.numbers,
        experiment.channels,
        ablation=experiment.ablation,
        make_task=lambda: _task(experiment),
    )


def _classical(method: ClassicalMethod) -> Callable[[Experiment], Networks]:
    return lambda experiment: ClassicalNetworks(method, _task(experiment))


_METHODS: dict[Method, Callable[[Experiment], Networks]] = {
    "hqgnet": _hqgnet,
    "stillgan": StillGanNetworks,
    "enlightengan": EnlightenGanNetworks,
    **{method: _classical(method) for method in CLASSICAL_METHODS},
}


def networks_of(experiment: Experiment, *, seed: int | None = None) -> Networks:
    """Build all networks of an experiment with fresh weights.

    Args:
        experiment: Gives method, preset, channels and downstream network.
        seed: In place of the experiment's; the weights depend on it alone, and the global random state is
            left as it was.

    Raises:
        ConfigurationError: If the downstream network cannot be built.
    """
    with _seeded(experiment.seed if seed is None else seed):
        networks = _METHODS[experiment.method](experiment)
    networks.task_kind = experiment.downstream.task
    return networks


def build_networks(
    numbers: NetworkNumbers, channels: int, *, output: OutputMode | None = None, seed: int | None = None
) -> HqgNetworks:
    """Build all networks of HQG-Net with fresh weights.

    Args:
        numbers: Widths and depths.
        channels: Image channels C, 1 or 3.
        output: Overrides the numbers' output mode.
        seed: The weights depend on it alone, and the global random state is left as it was; ``None`` draws
            from the global random state.
    """
    with _seeded(seed):
        return HqgNetworks(numbers, channels, output)


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        # Only the processor's generator, from which weights are drawn, is seeded: it alone is put back.
        torch.default_generator.manual_seed(seed)
        yield


def _task(experiment: Experiment) -> nn.Module:
    return build_downstream(experiment.downstream, experiment.preset, experiment.numbers, experiment.channels)
