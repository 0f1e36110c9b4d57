"""Lending cues: mean and covariance of v_z over the site's HQ images, for hospitals that have none."""

from __future__ import annotations

import torch

from client.guards import check_received
from client.refusals import RefusalError
from client.site import OpenSite
from hqgnet.cue_bank import CueEntry, ImplausibleCuesError
from hqgnet.exchange.arrays import Arrays, to_tensors
from hqgnet.exchange.groups import cue_keys
from hqgnet.exchange.update import CuesHeader, CuesRequest, SiteError
from hqgnet.guidance import described


def lend(site: OpenSite, request: CuesRequest, arrays: Arrays) -> tuple[CuesHeader, Arrays]:
    """Describe the site's HQ training images by the cue extractor that came, and sum them up.

    Args:
        site: Opened for the request's run.
        request: What to do.
        arrays: The cue extractor's parameters.

    Raises:
        RefusalError: If the parameters do not fit, there are too few images, or v_z is not finite.
    """
    trainer, experiment = site.trainer, site.experiment
    wanted = experiment.federation.cue_bank
    if site.card.hq.train < wanted.minimum_images:
        reason = f"{site.card.hq.train} HQ images to train on, the experiment wants {wanted.minimum_images}"
        raise RefusalError(SiteError.POLICY_CUES, reason)
    check_received(arrays, trainer.networks.state_dict(), cue_keys(trainer.networks, experiment))
    trainer.load(to_tensors(arrays))
    vectors = described(trainer.networks, [site.data], experiment.image_size, site.device)
    try:
        entry = CueEntry.of(torch.cat(vectors).cpu().numpy(), wanted.norm_limit)
    except ImplausibleCuesError as error:
        raise RefusalError(SiteError.DIVERGED, str(error)) from error
    header = CuesHeader(
        run=request.run,
        phase=request.phase,
        round=request.round,
        site=site.config.name,
        images=entry.count,
    )
    return header, entry.to_arrays()
