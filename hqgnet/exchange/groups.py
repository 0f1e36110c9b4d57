"""Which parameters travel between the sites and the server, and which stay at home.

A parameter group is a submodule of :class:`hqgnet.networks.Networks`; its parameters' names begin with the
group's name and a dot. What is not named here never leaves a site.

torch is loaded only where networks are at hand: a hospital's daemon checks groups by name without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hqgnet.config import FederationConfig, PhaseName

if TYPE_CHECKING:
    from torch.nn import Module

GROUPS = ("cue_extractor", "generator", "discriminator", "task", "autoencoder_decoder")
_BY_PHASE: dict[PhaseName, tuple[str, ...]] = {
    "pretrain": ("cue_extractor", "autoencoder_decoder"),
    "enhance": ("cue_extractor", "generator", "discriminator"),
    "cooperate": ("cue_extractor", "generator", "discriminator", "task"),
}

# Walking through all modules takes as long as reading a small message; names do not change.
_NAMES: WeakKeyDictionary[Module, tuple[str, ...]] = WeakKeyDictionary()


def shared_groups(phase: PhaseName, federation: FederationConfig, has_labels: bool = True) -> tuple[str, ...]:
    """Return the groups that a site sends after a round of ``phase``.

    Args:
        phase: The phase.
        federation: Decides whether the discriminator is shared.
        has_labels: Whether the site has masks. Without them its downstream network has learned nothing, so
            it sends none; it still receives the global one. True gives the groups that every site receives.
    """
    groups = _BY_PHASE[phase]
    if not federation.share_discriminator:
        groups = tuple(group for group in groups if group != "discriminator")
    if not has_labels:
        groups = tuple(group for group in groups if group != "task")
    return groups


def shared_keys(
    networks: Module, phase: PhaseName, federation: FederationConfig, has_labels: bool = True
) -> tuple[str, ...]:
    """Return the names of all parameters and buffers that a site sends after a round of ``phase``, in order.

    Args:
        networks: Decides the names; values do not matter.
        phase: See :func:`shared_groups`.
        federation: See :func:`shared_groups`; without ``share_normalization`` everything of batch
            normalisation layers stays at the site (FedBN, arXiv 2102.07623).
        has_labels: See :func:`shared_groups`.
    """
    return keys_of(networks, shared_groups(phase, federation, has_labels), federation)


def evaluation_keys(networks: Module, federation: FederationConfig, *, with_task: bool) -> tuple[str, ...]:
    """Return the names of what a site receives to judge the global model."""
    groups = ("cue_extractor", "generator", "task") if with_task else ("cue_extractor", "generator")
    return keys_of(networks, groups, federation)


def local_keys(networks: Module, federation: FederationConfig) -> tuple[str, ...]:
    """Return the names of the networks' parameters that every site keeps as its own from round to round."""
    groups = tuple(group for group in GROUPS if group != "discriminator" or federation.share_discriminator)
    travelling = set(keys_of(networks, groups, federation))
    return tuple(name for name in _names(networks) if name not in travelling)


def keys_of(networks: Module, groups: Iterable[str], federation: FederationConfig) -> tuple[str, ...]:
    """Return the names in ``groups``, without batch normalisation where that is not shared."""
    prefixes = tuple(f"{group}." for group in groups)
    kept_home = set() if federation.share_normalization else normalization_keys(networks)
    return tuple(name for name in _names(networks) if name.startswith(prefixes) and name not in kept_home)


def normalization_keys(networks: Module) -> set[str]:
    """Return the names of all parameters and buffers of batch normalisation layers."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return {
        f"{path}.{name}"
        for path, module in networks.named_modules()
        if isinstance(module, _BatchNorm)
        for name in module.state_dict()
    }


def _names(networks: Module) -> tuple[str, ...]:
    if networks not in _NAMES:
        _NAMES[networks] = tuple(networks.state_dict())
    return _NAMES[networks]
