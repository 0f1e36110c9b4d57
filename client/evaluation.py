"""Judging the global model at a site: sums of metrics leave, pictures stay."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from client.guards import check_received, outgoing_guidance
from client.refusals import RefusalError
from client.site import OpenSite
from hqgnet.cue_bank import ImplausibleCuesError, read_mean, without_cues
from hqgnet.evaluation import evaluate_site, write_pictures
from hqgnet.exchange.arrays import Array, Arrays, to_tensors
from hqgnet.exchange.groups import evaluation_keys, has_personal_model
from hqgnet.exchange.update import EvaluateRequest, ScoresHeader, SiteError
from hqgnet.guidance import mean_guidance, site_guidance
from hqgnet.model_file import save_model

_LATEST = 2**62


def evaluate(site: OpenSite, request: EvaluateRequest, arrays: Arrays) -> tuple[ScoresHeader, Array | None]:
    """Judge the global model on one split of the site's images.

    With the final model the site also keeps before/after pictures, and, where normalisation or parameter
    groups are local, the model with its own, both in its own folder.

    Args:
        site: Opened for the request's run.
        request: What to do.
        arrays: The global parameters, and the mean of a bank of cues for a site without HQ images.

    Returns:
        The scores, and the mean cue of the site's HQ images where it was asked for and may leave.

    Raises:
        RefusalError: If the parameters do not fit.
    """
    begun = time.monotonic()
    trainer, experiment = site.trainer, site.experiment
    networks = trainer.networks
    lent, arrays = without_cues(arrays)
    stored = _stored(site, lent)
    check_received(
        arrays, networks.state_dict(), evaluation_keys(networks, experiment, with_task=request.with_task)
    )
    if has_personal_model(experiment):
        kept = site.state.load(request.phase, _LATEST)
        own = site.initial_private() | (kept.tensors if kept else {})
        trainer.load(
            {name.removeprefix("networks."): v for name, v in own.items() if name.startswith("networks.")}
        )
    trainer.load(to_tensors(arrays))
    guide = site_guidance(networks, site.data, experiment, site.device, stored)
    size, with_task = experiment.image_size, request.with_task
    scores = evaluate_site(
        networks,
        site.data,
        guide,
        size,
        request.split,
        with_task=with_task,
        metrics=experiment.metrics,
    )
    vector, count = None, 0
    # Feature maps tell more of an image than a vector does: they stay (Fig. 8).
    if request.want_guidance and networks.guidance_size == experiment.numbers.guidance_dim:
        mean, images = mean_guidance(networks, [site.data], size, site.device)
        config = site.config
        vector = outgoing_guidance(mean, images, config.share_guidance, config.minimum_images_for_guidance)
        count = 0 if vector is None else images
    if request.final:
        folder, number = site.folder / "pictures", experiment.evaluation.pictures
        write_pictures(networks, site.data, guide, size, folder, number, with_task=with_task)
        if has_personal_model(experiment):
            details = {"phase": request.phase, "round": request.round, "task_trained": with_task}
            save_model(
                site.folder / "model.safetensors",
                networks,
                experiment,
                guidance=_mean(guide),
                details=details,
            )
    header = ScoresHeader(
        run=request.run,
        phase=request.phase,
        round=request.round,
        split=request.split,
        site=site.config.name,
        scores=scores.to_json(),
        guidance_images=count,
        seconds=time.monotonic() - begun,
    )
    return header, vector


def _stored(site: OpenSite, lent: Arrays) -> Tensor | None:
    """Return the mean cue ``(1, 64)`` that came with the model; None where none did.

    Raises:
        RefusalError: If it is none, or came to a site that needs none.
    """
    if not lent:
        return None
    if site.trainer.has_hq:
        raise RefusalError(SiteError.PARAMETERS, "a cue came to a site that has HQ images")
    try:
        mean = read_mean(lent, site.trainer.networks.guidance_size)
    except ImplausibleCuesError as error:
        raise RefusalError(SiteError.PARAMETERS, str(error)) from error
    return torch.tensor(mean).reshape(1, -1)


def _mean(guides: Tensor | None) -> Tensor | None:
    """Return the mean of a site's guides, which is one guide unless the experiment wants a pool."""
    return None if guides is None else guides.mean(dim=0)
