"""Which parameters travel between the sites and the server, and which stay at home.

A parameter group is a submodule of :class:`hqgnet.networks.Networks`; its parameters' names begin with the
group's name and a dot. What is not named here never leaves a site.

torch is loaded only where networks are at hand: a hospital's daemon checks groups by name without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from hqgnet.config import Experiment, FederationConfig, PhaseName

if TYPE_CHECKING:
    from torch.nn import Module

GROUPS = (
    "cue_extractor",
    "generator",
    "backward_generator",
    "discriminator",
    "task",
    "autoencoder_decoder",
)
_PRETRAINED = ("cue_extractor", "autoencoder_decoder")

# Walking through all modules takes as long as reading a small message; names do not change.
_NAMES: WeakKeyDictionary[Module, tuple[str, ...]] = WeakKeyDictionary()


def trained_groups(
    phase: PhaseName, experiment: Experiment, has_labels: bool = True, has_hq: bool = True
) -> tuple[str, ...]:
    """Return the groups that a site trains in ``phase``; none if it has nothing to train there.

    Args:
        phase: The phase.
        experiment: Gives the method, and who is frozen when.
        has_labels: Whether the site has what the downstream network learns from, masks or grades. Without
            them it trains the enhancer alone.
        has_hq: Whether it has HQ images. Without them HQG-Net's generator alone is trained: the discriminator
            has no real image to see, and the cue extractor none to describe.
    """
    if phase == "pretrain":
        return _PRETRAINED if has_hq or experiment.ablation.pretraining == "hq_and_lq" else ()
    enhancer = _enhancer_groups(experiment) if has_hq else _without_hq(experiment)
    if phase == "enhance":
        return enhancer
    downstream = experiment.downstream
    groups = enhancer if downstream.enhancer_trained_in_cooperate else ()
    if not (has_hq or groups or _task_learns_without_hq(experiment)):
        return ()
    return (*groups, "task") if downstream.trained_in_cooperate and has_labels else groups


def received_groups(phase: PhaseName, experiment: Experiment, has_labels: bool = True) -> tuple[str, ...]:
    """Return the groups that a site receives for a round of ``phase``: all that it runs there.

    Args:
        phase: The phase.
        experiment: Gives the method, and what stays at the sites.
        has_labels: Whether the site runs the downstream network in phase ``cooperate``.
    """
    groups = dict.fromkeys(trained_groups(phase, experiment, has_labels))
    if phase != "pretrain":
        groups |= dict.fromkeys(_used_groups(experiment))
    if phase == "cooperate" and has_labels:
        groups |= {"task": None}
    return tuple(group for group in GROUPS if group in groups and _is_shared(group, experiment.federation))


def shared_groups(
    phase: PhaseName, experiment: Experiment, has_labels: bool = True, has_hq: bool = True
) -> tuple[str, ...]:
    """Return the groups that a site sends after a round of ``phase``; none if it takes no part.

    Args:
        phase: The phase.
        experiment: Gives the method, who is frozen, and whether the discriminator is shared.
        has_labels: See :func:`trained_groups`; a downstream network that has learned nothing is not sent.
        has_hq: See :func:`trained_groups`.
    """
    groups = trained_groups(phase, experiment, has_labels, has_hq)
    return tuple(group for group in groups if _is_shared(group, experiment.federation))


def inference_groups(experiment: Experiment) -> tuple[str, ...]:
    """Return the groups that enhance an image."""
    return ("cue_extractor", "generator") if is_guided(experiment) else ("generator",)


def published_groups(experiment: Experiment) -> tuple[str, ...]:
    """Return the groups of a model that is used: what enhances, and the downstream network."""
    return (*inference_groups(experiment), "task")


def has_personal_model(experiment: Experiment) -> bool:
    """Return whether a part of the model that is used stays at each site: there is no one global model."""
    federation = experiment.federation
    is_local = any(group in federation.local_groups for group in published_groups(experiment))
    return is_local or not federation.share_normalization


def takes_part(phase: PhaseName, experiment: Experiment, has_labels: bool, has_hq: bool = True) -> bool:
    """Return whether a site trains in ``phase``; :mod:`hqgnet.exchange.participation` says why not.

    In phase ``cooperate`` a site without labels sits out where ``federation.unlabelled_sites`` says so, and
    where the downstream network alone is trained. A site without HQ images sits out what needs them.
    """
    if phase == "cooperate" and not has_labels and experiment.federation.unlabelled_sites == "skip":
        return False
    return bool(trained_groups(phase, experiment, has_labels, has_hq))


def renewed_keys(
    networks: Module, phase: PhaseName, experiment: Experiment, has_labels: bool = True
) -> tuple[str, ...]:
    """Return the names of what a site receives with every round of ``phase``: what is trained anywhere."""
    trained = set(shared_keys(networks, phase, experiment))
    return tuple(name for name in _received(networks, phase, experiment, has_labels) if name in trained)


def frozen_keys(
    networks: Module, phase: PhaseName, experiment: Experiment, has_labels: bool = True
) -> tuple[str, ...]:
    """Return the names of what a site receives for a phase and nobody trains: in every round the same."""
    trained = set(shared_keys(networks, phase, experiment))
    return tuple(name for name in _received(networks, phase, experiment, has_labels) if name not in trained)


def shared_keys(
    networks: Module,
    phase: PhaseName,
    experiment: Experiment,
    has_labels: bool = True,
    has_hq: bool = True,
) -> tuple[str, ...]:
    """Return the names of all parameters and buffers that a site sends after a round of ``phase``, in order.

    Args:
        networks: Decides the names; values do not matter.
        phase: See :func:`shared_groups`.
        experiment: See :func:`shared_groups`; without ``federation.share_normalization`` everything of batch
            normalisation layers stays at the site (FedBN, arXiv 2102.07623), but for a cue extractor whose
            cues go into a bank.
        has_labels: See :func:`shared_groups`.
        has_hq: See :func:`shared_groups`.
    """
    return keys_of(networks, shared_groups(phase, experiment, has_labels, has_hq), experiment.federation)


def cue_keys(networks: Module, experiment: Experiment) -> tuple[str, ...]:
    """Return the names of what a site receives to describe its HQ images: the cue extractor's."""
    return keys_of(networks, ("cue_extractor",), experiment.federation)


def is_guided(experiment: Experiment) -> bool:
    """Return whether cues of HQ images guide the enhancer."""
    return experiment.method == "hqgnet" and experiment.ablation.guidance == "hq"


def evaluation_keys(networks: Module, experiment: Experiment, *, with_task: bool) -> tuple[str, ...]:
    """Return the names of what a site receives to judge the global model."""
    groups = published_groups(experiment) if with_task else inference_groups(experiment)
    travelling = [group for group in groups if _is_shared(group, experiment.federation)]
    return keys_of(networks, travelling, experiment.federation)


def local_keys(networks: Module, federation: FederationConfig) -> tuple[str, ...]:
    """Return the names of the networks' parameters that every site keeps as its own from round to round."""
    groups = tuple(group for group in GROUPS if _is_shared(group, federation))
    travelling = set(keys_of(networks, groups, federation))
    return tuple(name for name in _names(networks) if name not in travelling)


def keys_of(networks: Module, groups: Iterable[str], federation: FederationConfig) -> tuple[str, ...]:
    """Return the names in ``groups`` that are not local, nor batch normalisation where that is local."""
    prefixes = tuple(f"{group}." for group in groups if group not in federation.local_groups)
    kept_home = _normalization_at_home(networks, federation)
    return tuple(name for name in _names(networks) if name.startswith(prefixes) and name not in kept_home)


def _received(
    networks: Module, phase: PhaseName, experiment: Experiment, has_labels: bool
) -> tuple[str, ...]:
    return keys_of(networks, received_groups(phase, experiment, has_labels), experiment.federation)


def _normalization_at_home(networks: Module, federation: FederationConfig) -> set[str]:
    """Of a cue extractor whose cues go into a bank it travels all the same: they have to mean the same."""
    if federation.share_normalization:
        return set()
    kept = normalization_keys(networks)
    lent = federation.cue_bank.enabled
    return {name for name in kept if not (lent and name.startswith("cue_extractor."))}


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


def _enhancer_groups(experiment: Experiment) -> tuple[str, ...]:
    """What an enhancer trains."""
    if experiment.method == "stillgan":
        return ("generator", "backward_generator", "discriminator")
    if is_guided(experiment):
        return ("cue_extractor", "generator", "discriminator")
    return ("generator", "discriminator")


def _without_hq(experiment: Experiment) -> tuple[str, ...]:
    """What an enhancer trains at a site without HQ images."""
    is_left = experiment.ablation.content_loss != "none" or experiment.federation.share_discriminator
    return ("generator",) if experiment.method == "hqgnet" and is_left and _has_guides(experiment) else ()


def _task_learns_without_hq(experiment: Experiment) -> bool:
    """Whether the downstream network learns alone, from originals or from images that can be enhanced."""
    downstream = experiment.downstream
    has_images = downstream.sees == "original" or _has_guides(experiment)
    return has_images and not downstream.enhancer_trained_in_cooperate


def _has_guides(experiment: Experiment) -> bool:
    """Whether an enhancer can run at a site without HQ images: one that they guide needs cues of a bank."""
    return not is_guided(experiment) or experiment.federation.cue_bank.enabled


def _used_groups(experiment: Experiment) -> tuple[str, ...]:
    """What runs in training beside what is trained: EnlightenGAN's feature network, a frozen enhancer."""
    features = ("cue_extractor",) if experiment.method == "enlightengan" else ()
    return (*inference_groups(experiment), *features)


def _is_shared(group: str, federation: FederationConfig) -> bool:
    if group in federation.local_groups:
        return False
    if group == "discriminator":
        return federation.share_discriminator
    return group not in federation.local_groups
