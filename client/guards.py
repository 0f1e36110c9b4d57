"""What may leave a site: only parameters of the groups that the phase shares, and only finite ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor
from torch.nn import Module

from client.refusals import RefusalError
from hqgnet.config import Experiment, PhaseName
from hqgnet.exchange.arrays import Array, ArrayError, ArrayFault, Arrays, check_arrays, specs, to_arrays
from hqgnet.exchange.groups import shared_groups, shared_keys
from hqgnet.exchange.update import SiteError


def check_received(arrays: Mapping[str, Array], state: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Check that the received parameters are exactly ``names``, of this site's shapes and types, and finite.

    Raises:
        RefusalError: If they are not.
    """
    try:
        check_arrays(arrays, specs(state, names))
    except ArrayError as error:
        raise RefusalError(SiteError.PARAMETERS, str(error)) from error


def outgoing_update(
    networks: Module,
    state: Mapping[str, Tensor],
    phase: PhaseName,
    experiment: Experiment,
    has_labels: bool,
    has_hq: bool = True,
) -> Arrays:
    """Return the arrays that a site sends after a round.

    Raises:
        RefusalError: If one of them is not finite, or would belong to a group that stays at home.
    """
    names = shared_keys(networks, phase, experiment, has_labels, has_hq)
    allowed = set(shared_groups(phase, experiment, has_labels, has_hq))
    strays = [name for name in names if name.split(".", 1)[0] not in allowed]
    if strays:
        raise RefusalError(SiteError.INTERNAL, f"{strays[0]} is not to leave the site in phase {phase}")
    arrays = to_arrays(state, names)
    try:
        check_arrays(arrays, specs(state, names))
    except ArrayError as error:
        code = SiteError.DIVERGED if error.fault is ArrayFault.NOT_FINITE else SiteError.INTERNAL
        raise RefusalError(code, str(error)) from error
    return arrays


def outgoing_guidance(vector: Tensor | None, images: int, allowed: bool, minimum_images: int) -> Array | None:
    """Return the mean cue of a site's HQ images for the wire, or None where the site does not let it go.

    Args:
        vector: Mean v_z, ``(64,)``; None if the method takes no guide.
        images: HQ images behind it.
        allowed: The site's ``share_guidance``.
        minimum_images: The site's smallest number of images behind a mean that leaves it.
    """
    if vector is None or not allowed or images < minimum_images or not bool(vector.isfinite().all()):
        return None
    return np.array(vector.detach().cpu().float().numpy())
