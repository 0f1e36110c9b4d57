"""One round of training at a site: restore, train, keep what is private, send what is shared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from client.frozen import with_frozen
from client.guards import check_received, outgoing_update
from client.refusals import RefusalError
from client.site import OpenSite
from client.strategy import SitePart, beside, parameters_of
from hqgnet.cue_bank import CueBank, ImplausibleCuesError, without_cues
from hqgnet.exchange.arrays import Arrays, to_tensors
from hqgnet.exchange.groups import frozen_keys, local_keys, renewed_keys, shared_groups
from hqgnet.exchange.participation import part_in
from hqgnet.exchange.update import SiteError, TrainRequest, UpdateHeader, digest
from hqgnet.training.gradient_correction import correcting
from hqgnet.training.state import Stored


def train(site: OpenSite, request: TrainRequest, arrays: Arrays) -> tuple[UpdateHeader, Arrays]:
    """Train one round on the site's images.

    Private state is written before the reply leaves, and only when every weight is finite, so that a site
    that diverged or was cut off goes on from the round before.

    Args:
        site: Opened for the request's run.
        request: What to do.
        arrays: The global parameters of the phase, those that nobody trains among them if the site is not
            to have them yet, and a bank of cues for a site without HQ images.

    Raises:
        RefusalError: If the parameters do not fit or are not whole, or training diverged.
    """
    trainer, experiment, phase = site.trainer, site.experiment, request.phase
    lent, arrays = without_cues(arrays)
    own_part = part_in(phase, site.card, experiment, lent=bool(lent))
    if not own_part.trains:
        raise RefusalError(SiteError.REQUEST, f"the site sits out this phase: {own_part.note}")
    trainer.batches.lend(_bank(site, lent))
    renewed = renewed_keys(trainer.networks, phase, experiment, trainer.has_labels)
    frozen = frozen_keys(trainer.networks, phase, experiment, trainer.has_labels)
    came = frozen if any(name in arrays for name in frozen) else ()
    extra = beside(trainer.networks, renewed, experiment.federation)
    own = trainer.networks.state_dict()
    check_received(arrays, own | {name: own[form] for name, form in extra.items()}, (*renewed, *came, *extra))
    arrays = with_frozen(arrays, frozen, request.frozen, site.state_folder)
    stored = site.state.load(phase, request.first_step)
    private = stored.tensors if stored else {}
    trainer.load_private_state(phase, site.initial_private() | private)
    trainer.load(to_tensors(parameters_of(arrays)))
    counted = partial(_counted, site, request, stored)
    part = SitePart(trainer.networks, renewed, experiment.federation, arrays, counted)
    with correcting(part.corrections):
        result = trainer.train(phase, request.first_step, request.steps, deadline_s=request.deadline_s)
    state = trainer.state()
    holdings = trainer.has_labels, trainer.has_hq
    update = outgoing_update(trainer.networks, state, phase, experiment, *holdings)
    update |= part.outgoing(tuple(update))
    local = {f"networks.{name}": state[name] for name in local_keys(trainer.networks, experiment.federation)}
    kept = trainer.private_state(phase) | local | part.private_state()
    next_step = request.first_step + request.steps
    site.state.save(phase, next_step, kept, counted=request.counted_step)
    header = UpdateHeader(
        run=request.run,
        phase=phase,
        round=request.round,
        attempt=request.attempt,
        site=site.config.name,
        groups=list(shared_groups(phase, experiment, *holdings)),
        lq_images=trainer.lq_images,
        hq_images=trainer.hq_images,
        steps=result.steps,
        losses=result.losses,
        seconds=result.seconds,
        card_digest=digest(site.card.to_json()),
    )
    return header, update


def _counted(site: OpenSite, request: TrainRequest, stored: Stored | None) -> Mapping[str, Tensor] | None:
    """Return what the site had after its latest update that counted; empty before the first, None if lost."""
    if not request.counted_step:
        return {}
    if stored is None or stored.next_step != request.counted_step:
        stored = site.state.load_at(request.phase, request.counted_step)
    return stored.tensors if stored else None


def _bank(site: OpenSite, lent: Arrays) -> CueBank | None:
    """Read the cues that came; only a site that has no HQ images of its own gets some.

    Raises:
        RefusalError: If they are no bank, or came to a site that needs none.
    """
    if not lent:
        return None
    if site.trainer.has_hq:
        raise RefusalError(SiteError.PARAMETERS, "cues came to a site that has HQ images")
    size, limit = site.trainer.networks.guidance_size, site.experiment.federation.cue_bank.norm_limit
    try:
        return CueBank.from_arrays(lent, size, limit)
    except ImplausibleCuesError as error:
        raise RefusalError(SiteError.PARAMETERS, str(error)) from error
