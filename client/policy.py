"""What the hospital's policy says of a request before any work, and of an answer before it leaves.

Each check raises :class:`RefusalError` with the code that the server learns and a reason for the site's
audit; what may leave in part is returned without the rest.
"""

from __future__ import annotations

import json

from client.few_images import (
    grading_may_leave,
    is_enough,
    mean_may_leave,
    segmentation_may_leave,
    without_count,
)
from client.refusals import RefusalError
from client.round_images import images_of_round
from hqgnet.config import Experiment, PhaseName
from hqgnet.cue_bank import CueEntry, ImplausibleCuesError
from hqgnet.data.site_config import SiteConfig
from hqgnet.data.site_policy import SitePolicy
from hqgnet.downstream_config import NETWORK_TASKS
from hqgnet.errors import DataError
from hqgnet.exchange.arrays import Array, ArrayError, ArrayFault, Arrays, ArraySpec, check_arrays
from hqgnet.exchange.compression.choice import most_bytes
from hqgnet.exchange.groups import shared_groups
from hqgnet.exchange.update import (
    CuesHeader,
    CuesRequest,
    EvaluateRequest,
    ScoresHeader,
    SiteError,
    TrainRequest,
    UpdateHeader,
    digest,
)
from hqgnet.labels import has_labels
from hqgnet.metrics.names import GRADING, QUALITY_AUC, SEGMENTATION, Reason
from hqgnet.scores import SiteScores

_MEGABYTE = 1e6


def policy_digest(config: SiteConfig) -> str:
    """Return the SHA-256 (hex) of all that decides what may leave."""
    guidance = {"share": config.share_guidance, "minimum_images": config.minimum_images_for_guidance}
    return digest(json.dumps({"policy": config.policy.digest(), "guidance": guidance}, sort_keys=True))


def check_experiment(experiment: Experiment, policy: SitePolicy) -> None:
    """Check that the hospital takes part in such a run at all.

    Raises:
        RefusalError: If it does not.
    """
    strategy, network = experiment.federation.strategy, experiment.downstream.network
    if policy.strategies is not None and strategy not in policy.strategies:
        raise RefusalError(SiteError.POLICY_STRATEGY, f"{strategy} is not in policy.strategies")
    # Among the classes that are installed are some that fetch files, or code, from where they are told to.
    if network not in NETWORK_TASKS and network not in policy.networks:
        raise RefusalError(SiteError.POLICY_NETWORK, f"{network} is not in policy.networks")


def check_training(
    request: TrainRequest, experiment: Experiment, config: SiteConfig, received: Arrays
) -> None:
    """Check a request to train, so that nothing is trained whose update could not leave.

    Raises:
        RefusalError: If the policy does not allow the phase, its groups, so many steps or so many bytes.
    """
    policy = config.policy
    if request.phase not in policy.phases:
        raise RefusalError(SiteError.POLICY_PHASE, f"{request.phase} is not in policy.phases")
    groups = shared_groups(
        request.phase, experiment, has_labels(config.images, experiment), config.images.has_hq
    )
    _check_groups(set(groups), set(policy.groups), "is not in policy.groups")
    if request.steps > policy.steps_per_round:
        reason = f"{request.steps} steps are asked, policy.steps_per_round is {policy.steps_per_round}"
        raise RefusalError(SiteError.POLICY_STEPS, reason)
    expected = {name: array for name, array in received.items() if _group(name) in groups}
    check_bytes(most_bytes(expected, experiment.federation.compression), policy)


def check_update(
    header: UpdateHeader,
    arrays: Arrays,
    request: TrainRequest,
    experiment: Experiment,
    config: SiteConfig,
    received: Arrays,
) -> None:
    """Check an update: of this round, of allowed groups, of the form of what came, from enough images.

    Raises:
        RefusalError: If it is not to leave.
    """
    policy = config.policy
    asked = (request.run, request.phase, request.round, request.attempt, config.name)
    if (header.run, header.phase, header.round, header.attempt, header.site) != asked:
        raise RefusalError(SiteError.INTERNAL, "the update is of another round or site than asked")
    if header.steps > request.steps:
        raise RefusalError(SiteError.POLICY_STEPS, f"{header.steps} steps were taken, {request.steps} asked")
    groups = {_group(name) for name in arrays}
    _check_groups(groups, set(policy.groups), "is not in policy.groups")
    shared = set(shared_groups(request.phase, experiment))
    _check_groups(groups, shared, f"is not shared in phase {request.phase}")
    if set(header.groups) != groups or len(header.groups) != len(groups):
        raise RefusalError(SiteError.POLICY_GROUPS, "the update's header names other groups than its arrays")
    forms = {name: ArraySpec(tuple(array.shape), str(array.dtype)) for name, array in received.items()}
    try:
        check_arrays(arrays, {name: spec for name, spec in forms.items() if name in arrays})
    except ArrayError as error:
        code = SiteError.DIVERGED if error.fault is ArrayFault.NOT_FINITE else SiteError.POLICY_GROUPS
        raise RefusalError(code, f"the update differs in form from what came ({error})") from error
    # By the steps that were taken: a server's deadline may have ended the round early.
    check_images(request.phase, header.steps, (header.lq_images, header.hq_images), experiment, policy)
    check_bytes(most_bytes(arrays, experiment.federation.compression), policy)


def check_lending(experiment: Experiment, policy: SitePolicy) -> None:
    """Check a request for cues, before any work.

    Raises:
        RefusalError: If the hospital lends none, or the experiment has no bank.
    """
    if not policy.cue_bank:
        raise RefusalError(SiteError.POLICY_CUES, "policy.cue_bank is false")
    if not experiment.federation.cue_bank.enabled:
        raise RefusalError(SiteError.REQUEST, "the experiment has no bank of cues")


def check_cues(
    header: CuesHeader, arrays: Arrays, request: CuesRequest, experiment: Experiment, config: SiteConfig
) -> None:
    """Check the cues that would leave: of this round, of enough images, of v_z within the bound.

    Raises:
        RefusalError: If they are not to leave.
    """
    asked = (request.run, request.phase, request.round, config.name)
    if (header.run, header.phase, header.round, header.site) != asked:
        raise RefusalError(SiteError.INTERNAL, "the cues are of another round or site than asked")
    policy, bank = config.policy, experiment.federation.cue_bank
    fewest = max(policy.minimum_hq_images, policy.smallest_count, bank.minimum_images)
    if header.images < fewest:
        raise RefusalError(SiteError.POLICY_CUES, f"fewer than {fewest} HQ images to train on")
    try:
        entry = CueEntry.from_arrays(arrays, header.images)
        entry.check(experiment.numbers.guidance_dim, bank.norm_limit, fewest)
    except ImplausibleCuesError as error:
        raise RefusalError(SiteError.INTERNAL, f"no cues ({error})") from error
    check_bytes(sum(array.nbytes for array in arrays.values()), policy)


def check_images(
    phase: PhaseName, steps: int, usable: tuple[int, int], experiment: Experiment, policy: SitePolicy
) -> None:
    """Check that there are enough images behind an update: those that its round uses, not all that there are.

    No HQ image at all is enough: then nothing of any is in the update.

    Args:
        phase: Which.
        steps: Of the round, asked or taken.
        usable: LQ and HQ images that the site can train on in the phase.
        experiment: Gives the batch size.
        policy: The hospital's.

    Raises:
        RefusalError: If there are fewer than the policy wants.
    """
    lq_images, hq_images = images_of_round(phase, steps, usable, experiment)
    if min(lq_images, hq_images or lq_images) < policy.minimum_images:
        # Without how many there are: the server gets the entry's hash, and could find out by trying.
        reason = (
            f"{steps} steps of {experiment.training.batch_size} images are not sure to use "
            f"{policy.minimum_images} LQ and HQ images (policy.minimum_images): the round is too short, or "
            "the site has too few to train on in this phase"
        )
        raise RefusalError(SiteError.POLICY_IMAGES, reason)


def check_bytes(size: int, policy: SitePolicy) -> None:
    """Check the size of an answer, in bytes.

    Raises:
        RefusalError: If it is above the policy's ceiling.
    """
    if size > policy.megabytes_per_round * _MEGABYTE:
        reason = f"{size} bytes would leave, policy.megabytes_per_round is {policy.megabytes_per_round}"
        raise RefusalError(SiteError.POLICY_BYTES, reason)


def check_scores(header: ScoresHeader, request: EvaluateRequest, config: SiteConfig) -> SiteScores:
    """Check whose scores these are, and read them.

    Raises:
        RefusalError: If they are of another round or site, or no scores.
    """
    asked = (request.run, request.phase, request.round, request.split, config.name)
    if (header.run, header.phase, header.round, header.split, header.site) != asked:
        raise RefusalError(SiteError.INTERNAL, "the scores are of another round, split or site than asked")
    try:
        return SiteScores.from_json(header.scores)
    except DataError as error:
        raise RefusalError(SiteError.INTERNAL, "the scores are malformed") from error


def leaving_scores(scores: SiteScores, policy: SitePolicy) -> SiteScores:
    """Return what may leave of a site's scores: allowed metrics over enough images.

    The parts are named one by one, so that a part which scores may gain later stays at home until it is
    given its rule here. What is kept back is named as such: a table then says why it has no figure.
    """
    means = {
        name: without_count(sums) if name == QUALITY_AUC else sums
        for name, sums in scores.means.items()
        if _is_allowed(name.rpartition("_")[0], policy) and mean_may_leave(sums, policy)
    }
    segmentation = {
        version: sums
        for version, sums in scores.segmentation.items()
        if _is_allowed(SEGMENTATION, policy) and segmentation_may_leave(sums, scores.images, policy)
    }
    grading = {
        version: sums
        for version, sums in scores.grading.items()
        if _is_allowed(GRADING, policy) and grading_may_leave(sums, scores.images, policy)
    }
    # Without its classifier's AUC, S_HQ itself may still leave.
    kept_back = {name.rpartition("_")[0] for name in scores.means.keys() - means.keys() - {QUALITY_AUC}}
    kept_back |= {SEGMENTATION} if scores.segmentation.keys() - segmentation.keys() else set()
    kept_back |= {GRADING} if scores.grading.keys() - grading.keys() else set()
    reasons = {
        name: found
        for name, found in scores.reasons.items()
        if _is_allowed(name, policy) and name not in kept_back
    }
    reasons |= {name: frozenset({Reason.WITHHELD}) for name in kept_back}
    images = scores.images if is_enough(scores.images, policy.smallest_count) else 0
    return SiteScores(images, means, segmentation, grading, reasons)


def leaving_guidance(
    vector: Array | None, images: int, request: EvaluateRequest, experiment: Experiment, config: SiteConfig
) -> Array | None:
    """Return the mean cue where it was asked for and the hospital lets it go.

    Raises:
        RefusalError: If something else stands in its place.
    """
    minimum = max(config.minimum_images_for_guidance, config.policy.smallest_count)
    if vector is None or not (request.want_guidance and config.share_guidance and images >= minimum):
        return None
    shape = (experiment.numbers.guidance_dim,)
    try:
        check_arrays({"guidance": vector}, {"guidance": ArraySpec(shape, "float32")})
    except ArrayError as error:
        raise RefusalError(SiteError.INTERNAL, f"no mean cue ({error})") from error
    return vector


def _check_groups(groups: set[str], allowed: set[str], reason: str) -> None:
    strays = sorted(groups - allowed)
    if strays:
        raise RefusalError(SiteError.POLICY_GROUPS, f"{strays[0][:40]} {reason}")


def _group(name: str) -> str:
    return name.partition(".")[0]


def _is_allowed(metric: str, policy: SitePolicy) -> bool:
    return policy.metrics is None or metric in policy.metrics
