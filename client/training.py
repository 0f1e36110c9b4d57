"""One round of training at a site: restore, train, keep what is private, send what is shared."""

from __future__ import annotations

from client.guards import check_received, outgoing_update
from client.refusals import RefusalError
from client.site import OpenSite
from client.strategy import SitePart, beside, parameters_of
from hqgnet.exchange.arrays import Arrays, to_tensors
from hqgnet.exchange.groups import local_keys, received_keys, shared_groups, shared_keys, takes_part
from hqgnet.exchange.update import SiteError, TrainRequest, UpdateHeader, digest
from hqgnet.training.gradient_correction import correcting


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
    trainer, experiment, phase = site.trainer, site.experiment, request.phase
    if not takes_part(phase, experiment, trainer.has_labels):
        label = experiment.downstream.label
        raise RefusalError(SiteError.REQUEST, f"the experiment lets sites without {label} sit out this phase")
    received = received_keys(trainer.networks, phase, experiment)
    shared = shared_keys(trainer.networks, phase, experiment)
    extra = beside(trainer.networks, shared, experiment.federation)
    state = trainer.state()
    check_received(arrays, state | {name: state[form] for name, form in extra.items()}, (*received, *extra))
    stored = site.state.load(phase, request.first_step)
    private = stored.tensors if stored else {}
    trainer.load_private_state(phase, site.initial_private() | private)
    trainer.load(to_tensors(parameters_of(arrays)))
    part = SitePart(trainer.networks, shared, experiment.federation, arrays, private)
    with correcting(part.corrections):
        result = trainer.train(phase, request.first_step, request.steps, deadline_s=request.deadline_s)
    state = trainer.state()
    update = outgoing_update(trainer.networks, state, phase, experiment, trainer.has_labels)
    update |= part.outgoing(tuple(update))
    own = {f"networks.{name}": state[name] for name in local_keys(trainer.networks, experiment.federation)}
    kept = trainer.private_state(phase) | own | part.private_state()
    site.state.save(phase, request.first_step + request.steps, kept)
    header = UpdateHeader(
        run=request.run,
        phase=phase,
        round=request.round,
        attempt=request.attempt,
        site=site.config.name,
        groups=list(shared_groups(phase, experiment, trainer.has_labels)),
        lq_images=trainer.lq_images,
        hq_images=trainer.hq_images,
        steps=result.steps,
        losses=result.losses,
        seconds=result.seconds,
        card_digest=digest(site.card.to_json()),
    )
    return header, update
