"""One round of training at a site: restore, train, keep what is private, send what is shared."""

from __future__ import annotations

from client.guards import check_received, outgoing_update
from client.refusals import RefusalError
from client.site import OpenSite
from hqgnet.exchange.arrays import Arrays, to_tensors
from hqgnet.exchange.groups import local_keys, shared_groups, shared_keys
from hqgnet.exchange.update import SiteError, TrainRequest, UpdateHeader, digest


def train(site: OpenSite, request: TrainRequest, arrays: Arrays) -> tuple[UpdateHeader, Arrays]:
    """Train one round on the site's images.

    Private state is written before the reply leaves, and only when every weight is finite, so that a site
    that diverged or was cut off goes on from the round before.

    Args:
        site: Opened for the request's run.
        request: What to do.
        arrays: The global parameters of the phase.

    Raises:
        RefusalError: If the parameters do not fit, or training diverged.
    """
    trainer, federation, phase = site.trainer, site.experiment.federation, request.phase
    if phase == "cooperate" and not trainer.has_masks and federation.unlabelled_sites == "skip":
        raise RefusalError(SiteError.REQUEST, "the experiment lets sites without masks sit out this phase")
    received = shared_keys(trainer.networks, phase, federation)
    check_received(arrays, trainer.state(), received)
    stored = site.state.load(phase, request.first_step)
    trainer.load_private_state(phase, site.initial_private() | (stored.tensors if stored else {}))
    trainer.load(to_tensors(arrays))
    result = trainer.train(phase, request.first_step, request.steps, deadline_s=request.deadline_s)
    state = trainer.state()
    update = outgoing_update(trainer.networks, state, phase, federation, trainer.has_masks)
    own = {f"networks.{name}": state[name] for name in local_keys(trainer.networks, federation)}
    site.state.save(phase, request.first_step + request.steps, trainer.private_state(phase) | own)
    header = UpdateHeader(
        run=request.run,
        phase=phase,
        round=request.round,
        attempt=request.attempt,
        site=site.config.name,
        groups=list(shared_groups(phase, federation, trainer.has_masks)),
        lq_images=trainer.lq_images,
        hq_images=trainer.hq_images,
        steps=result.steps,
        losses=result.losses,
        seconds=result.seconds,
        card_digest=digest(site.card.to_json()),
    )
    return header, update
