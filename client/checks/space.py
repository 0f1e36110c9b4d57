"""How much disk and memory a run takes at a site, by preset."""

from __future__ import annotations

from types import MappingProxyType

from hqgnet.generations import GENERATIONS
from hqgnet.presets import PresetName

# Parameters in millions of an experiment in colour: cue extractor, generator, discriminator, downstream
# network, autoencoder decoder. Counting them anew would import every network, for seconds.
_MILLIONS = MappingProxyType(
    {
        "paper": (11.21, 54.34, 2.76, 8.93, 12.37),
        "standard": (11.21, 55.78, 2.76, 8.93, 12.37),
        "small": (2.82, 7.04, 0.69, 2.23, 3.10),
        "tiny": (0.71, 1.10, 0.04, 0.26, 0.78),
    }
)
_FLOAT = 4  # bytes
_OTHER_DISK_GB = 0.5  # pictures, logs, bundles
_LIBRARIES_GB = 3.0  # the process with its libraries, Flower's processes, and a message in flight
_COPIES_IN_MEMORY = 6  # weights, gradients, two moments, what came and what goes


def parameters(preset: PresetName) -> float:
    """Return how many parameters all networks of a preset have together."""
    return sum(_MILLIONS[preset]) * 1e6


def disk_needed_gb(preset: PresetName) -> float:
    """Return the disk space in 10^9 bytes that a run's private state takes at most.

    Every phase keeps the discriminator and Adam's two moments of all that it trains, in three generations,
    and one more while it writes.
    """
    cue, generator, discriminator, task, decoder = _MILLIONS[preset]
    pretrain = discriminator + 2 * (cue + decoder)
    enhance = discriminator + 2 * (cue + generator + discriminator)
    cooperate = enhance + 2 * task
    kept = GENERATIONS * (pretrain + enhance + cooperate) + cooperate
    return kept * _FLOAT / 1e3 + _OTHER_DISK_GB


def memory_needed_gb(preset: PresetName) -> float:
    """Return the main memory in 10^9 bytes that training takes at least, images apart."""
    return parameters(preset) * _FLOAT * _COPIES_IN_MEMORY / 1e9 + _LIBRARIES_GB
