"""Combinations of an experiment's keys that cannot work, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hqgnet.downstream_config import NETWORK_TASKS
from hqgnet.errors import Problem
from hqgnet.method_config import CLASSICAL_METHODS, AblationConfig

if TYPE_CHECKING:
    from hqgnet.config import Experiment

_GROUPS_OF_FILES = {
    "start_from": ("cue_extractor", "generator"),
    "downstream.weights": ("task",),
    "downstream.segmentor_weights": ("task",),
    "enlightengan.feature_network": ("cue_extractor",),
}
_ROBUST_STRATEGIES = ("median", "trimmed_mean", "krum", "multi_krum")
_SEGMENTATION_FIGURES = ("dice", "auc")


@dataclass(frozen=True)
class Mistake:
    """A combination that is refused.

    Attributes:
        key: Path of the key at fault.
        value: Its value.
        what: What is wrong with it.
        remedy: What to do.
    """

    key: str
    value: Any
    what: str
    remedy: str


def refuse_mistakes(experiment: Experiment) -> None:
    """Check an experiment whose keys are valid one by one.

    Raises:
        ValidationError: With every combination that cannot work.
    """
    mistakes = [*_of_run(experiment), *_of_method(experiment), *_of_ablation(experiment)]
    mistakes += [*_of_downstream(experiment), *_of_roles(experiment), *_of_cue_bank(experiment)]
    mistakes += [*_of_compression(experiment), *_of_sharing(experiment)]
    if not mistakes:
        return
    raise ValidationError.from_exception_data(
        "Experiment",
        [
            InitErrorDetails(
                # The form in which pydantic tells a ValueError: `hqgnet.yaml_files` reads it.
                type=PydanticCustomError(
                    "value_error", "Value error, {text}", {"text": f"{mistake.what}: {mistake.remedy}"}
                ),
                loc=tuple(mistake.key.split(".")) if mistake.key else (),
                input=mistake.value,
            )
            for mistake in mistakes
        ],
    )


def missing_files(experiment: Experiment, where: str) -> list[Problem]:
    """Return which files of pretrained weights are not there.

    Args:
        experiment: Names them; relative paths are of the folder in which the run is started.
        where: Said in the problems: the experiment's file.
    """
    remedy = f"Paths are relative to {Path.cwd()}, where the run is started; give an absolute one"
    return [
        Problem(f"{where}: {key}", f"{file} is missing", remedy)
        for key, file in _files(experiment).items()
        if not Path(file).is_file()
    ]


def _files(experiment: Experiment) -> dict[str, str]:
    """Files of pretrained weights by key."""
    files = {
        "start_from": experiment.start_from,
        "downstream.weights": experiment.downstream.weights,
        "downstream.segmentor_weights": experiment.downstream.segmentor_weights,
        "enlightengan.feature_network": experiment.enlightengan.feature_network,
    }
    return {key: file for key, file in files.items() if file is not None}


def _of_run(experiment: Experiment) -> Iterator[Mistake]:
    phases = experiment.phases
    if not (phases.pretrain.rounds or phases.enhance.rounds or phases.cooperate.rounds):
        yield Mistake("", None, "all phases have 0 rounds", "give at least one phase a round")
    files = _files(experiment)
    if files and not experiment.federation.share_normalization:
        what = f"the batch normalisation of {' and '.join(files)} would stay at the server"
        remedy = "set it to true, or start without pretrained weights"
        yield Mistake("federation.share_normalization", False, what, remedy)
    local = set(experiment.federation.local_groups) & {g for key in files for g in _GROUPS_OF_FILES[key]}
    if local:
        what = f"pretrained weights of {', '.join(sorted(local))} would stay at the server"
        remedy = "take the group out, or start without pretrained weights"
        yield Mistake("federation.local_groups", experiment.federation.local_groups, what, remedy)
    figure, task = experiment.evaluation.best_by, experiment.downstream.task
    wrong = figure in _SEGMENTATION_FIGURES if task == "grading" else figure.startswith("grade_")
    if wrong:
        what = f"is no figure of {task}"
        remedy = "choose by a figure of downstream.task, or by one of the images"
        yield Mistake("evaluation.best_by", figure, what, remedy)


def _of_compression(experiment: Experiment) -> Iterator[Mistake]:
    strategy, form = experiment.federation.strategy, experiment.federation.compression.up
    key, remedy = "federation.compression.up", "set it to int8, or take another strategy"
    if form == "topk" and strategy in _ROBUST_STRATEGIES:
        what = f"topk leaves most numbers of an update where they were, and {strategy} would go by those"
        yield Mistake(key, form, what, remedy)
    if form == "topk" and strategy == "scaffold":
        what = "topk sends most of the control variates rounds later, and scaffold needs those of the last"
        yield Mistake(key, form, what, remedy)


def _of_sharing(experiment: Experiment) -> Iterator[Mistake]:
    """A round in which sites train and send nothing would change nothing, and look like one that did."""
    from hqgnet.config import PHASES
    from hqgnet.exchange.groups import shared_groups, trained_groups

    for phase in PHASES:
        trained = trained_groups(phase, experiment)
        if experiment.phase(phase).rounds and trained and not shared_groups(phase, experiment):
            what = f"phase {phase} shares nothing, {' and '.join(trained)} staying at each site"
            yield Mistake("federation.local_groups", experiment.federation.local_groups, what, "take one out")


def _of_method(experiment: Experiment) -> Iterator[Mistake]:
    method, pretrain = experiment.method, experiment.phases.pretrain.rounds
    patch = experiment.numbers.patch_size
    # EnlightenGAN's discriminators take patches of any size, the classical methods have none.
    if method in ("hqgnet", "stillgan") and _trains_enhancer(experiment) and experiment.image_size < patch:
        what = f"the discriminator of preset {experiment.preset} sees patches of {patch} pixels"
        smaller = "" if experiment.preset == "tiny" else ", or take preset tiny"
        remedy = f"set it to {patch} at least{smaller}"
        yield Mistake("image_size", experiment.image_size, what, remedy)
    if method == "hqgnet":
        return
    if experiment.ablation != AblationConfig():
        what = f"is HQG-Net's, and method is {method}"
        changed = experiment.ablation.model_dump(exclude_defaults=True)
        yield Mistake("ablation", changed, what, "leave the section out, or set method to hqgnet")
    if experiment.output is not None:
        what = f"{method} has an output of its own"
        yield Mistake("output", experiment.output, what, "leave the key out")
    if method == "stillgan" and pretrain:
        what = "StillGAN has nothing to pretrain"
        yield Mistake("phases.pretrain.rounds", pretrain, what, "set it to 0")
    if method == "enlightengan":
        yield from _of_enlightengan(experiment)
    if method in CLASSICAL_METHODS:
        yield from _of_classical(experiment)


def _trains_enhancer(experiment: Experiment) -> bool:
    phases, downstream = experiment.phases, experiment.downstream
    in_cooperate = bool(phases.cooperate.rounds) and downstream.enhancer_trained_in_cooperate
    return bool(phases.enhance.rounds) or in_cooperate


def _of_classical(experiment: Experiment) -> Iterator[Mistake]:
    """A method without parameters: it is there from the start, and nothing of it can be trained."""
    method, phases, downstream = experiment.method, experiment.phases, experiment.downstream
    for name, rounds in (("pretrain", phases.pretrain.rounds), ("enhance", phases.enhance.rounds)):
        if rounds:
            yield Mistake(f"phases.{name}.rounds", rounds, f"{method} needs no training", "set it to 0")
    if phases.cooperate.rounds and downstream.enhancer_trained_in_cooperate:
        what = f"{method} has nothing to train"
        remedy = "set it to false: the downstream network alone learns, from its images"
        yield Mistake("downstream.enhancer_trained_in_cooperate", True, what, remedy)
    if experiment.start_from is not None:
        what = f"{method} has no weights to start from"
        yield Mistake("start_from", experiment.start_from, what, "leave the key out")


def _of_enlightengan(experiment: Experiment) -> Iterator[Mistake]:
    phases, file = experiment.phases, experiment.enlightengan.feature_network
    if _trains_enhancer(experiment) and not phases.pretrain.rounds and file is None:
        what = "the self feature preserving loss would have a feature network that has learned nothing"
        remedy = "give phases.pretrain rounds, or enlightengan.feature_network a file"
        yield Mistake("phases.pretrain.rounds", phases.pretrain.rounds, what, remedy)
    if experiment.image_size < experiment.enlightengan.patch_size:
        what = f"images are smaller than patches of {experiment.enlightengan.patch_size} pixels"
        yield Mistake("image_size", experiment.image_size, what, "train at least at that size")
    if experiment.training.adversarial != "lsgan":
        what = "EnlightenGAN's adversarial losses are least squares"
        yield Mistake("training.adversarial", experiment.training.adversarial, what, "leave the key out")


def _of_ablation(experiment: Experiment) -> Iterator[Mistake]:
    ablation, pretrain = experiment.ablation, experiment.phases.pretrain.rounds
    variance = {"inter_variance": ablation.inter_variance, "intra_variance": ablation.intra_variance}
    if ablation.guidance != "hq":
        without = f"there are no cues with guidance {ablation.guidance}"
        if pretrain and experiment.method == "hqgnet":
            what = f"there is no cue extractor to pretrain with ablation.guidance {ablation.guidance}"
            yield Mistake("phases.pretrain.rounds", pretrain, what, "set it to 0")
        for name, weight in variance.items():
            if weight:
                yield Mistake(f"ablation.{name}", weight, without, "set it to 0")
        if ablation.guidance_vector != "v_c":
            yield Mistake("ablation.guidance_vector", ablation.guidance_vector, without, "set it to v_c")
        if ablation.feature_matching == "features":
            yield Mistake("ablation.feature_matching", "features", without, "leave the key out")
    if ablation.inter_variance and experiment.training.batch_size == 1:
        what = "L_InterVar compares the guides of a batch, and a batch holds one"
        remedy = "set training.batch_size to 2 or more"
        yield Mistake("ablation.inter_variance", ablation.inter_variance, what, remedy)
    if ablation.guidance_vector == "feature" and ablation.feature_matching == "vector":
        what = "there are no guidance vectors with guidance_vector feature"
        yield Mistake("ablation.feature_matching", "vector", what, "leave the key out")


def _of_cue_bank(experiment: Experiment) -> Iterator[Mistake]:
    """Cues of several sites mean the same only where one cue extractor, the same everywhere, gives them."""
    federation, ablation = experiment.federation, experiment.ablation
    if not federation.cue_bank.enabled:
        return
    what, off = "a bank holds cues of HQG-Net's cue extractor", "set federation.cue_bank to off"
    key = "federation.cue_bank.enabled"
    if experiment.method != "hqgnet":
        yield Mistake(key, True, f"{what}, and method is {experiment.method}", off)
        return
    if ablation.guidance != "hq":
        yield Mistake(key, True, f"{what}, and ablation.guidance is {ablation.guidance}", off)
    elif ablation.matching == "features":
        name = "guidance_vector" if ablation.guidance_vector == "feature" else "feature_matching"
        what = f"a bank holds vectors, and ablation.{name} wants feature maps of HQ images"
        yield Mistake(key, True, what, off)
    for group, why in (
        ("cue_extractor", "each site's cues would mean something else"),
        ("generator", "a site without HQ images, which trains it alone, would send nothing"),
    ):
        if group in federation.local_groups:
            remedy = f"{off}, or take {group} out of federation.local_groups"
            yield Mistake(key, True, f"{group} is local: {why}", remedy)


def _of_downstream(experiment: Experiment) -> Iterator[Mistake]:
    downstream = experiment.downstream
    task = NETWORK_TASKS.get(downstream.network, downstream.task)
    if task != downstream.task:
        fitting = " or ".join(name for name, of in NETWORK_TASKS.items() if of == downstream.task)
        what = f"{downstream.network} learns {task} from {'masks' if task == 'segmentation' else 'grades'}"
        remedy = f"set it to {task}, or downstream.network to {fitting} or a network of your own"
        yield Mistake("downstream.task", downstream.task, what, remedy)
    if downstream.network == "deepgrading" and experiment.modality != "ccm":
        what = f"it grades nerves in ccm images, and modality is {experiment.modality}"
        remedy = "take pnsnet or csnet, or name a network of your own"
        yield Mistake("downstream.network", downstream.network, what, remedy)
    if downstream.network != "deepgrading" and downstream.segmentor_weights is not None:
        what = f"{downstream.network} has no segmentor inside"
        yield Mistake("downstream.segmentor_weights", downstream.segmentor_weights, what, "leave the key out")
    if downstream.network not in NETWORK_TASKS or not downstream.arguments:
        return
    taken = {"channels", "numbers"} & downstream.arguments.keys()
    if taken:
        what = f"{', '.join(sorted(taken))} of {downstream.network} follow from channels and preset"
        yield Mistake("downstream.arguments", downstream.arguments, what, "leave them out")


def _of_roles(experiment: Experiment) -> Iterator[Mistake]:
    downstream = experiment.downstream
    if not experiment.phases.cooperate.rounds:
        return
    if not (downstream.trained_in_cooperate or downstream.enhancer_trained_in_cooperate):
        what = "nothing is trained in phase cooperate"
        remedy = "train the enhancer, the downstream network or both, or set phases.cooperate.rounds to 0"
        yield Mistake("downstream.trained_in_cooperate", False, what, remedy)
    if not downstream.trained_in_cooperate and downstream.weights is None:
        what = "the downstream network would keep weights that have learned nothing"
        remedy = "name a file of pretrained ones in downstream.weights"
        yield Mistake("downstream.trained_in_cooperate", False, what, remedy)
    has_learned = experiment.phases.enhance.rounds or experiment.start_from is not None
    has_learned = has_learned or experiment.method in CLASSICAL_METHODS
    if downstream.sees == "enhanced" and not (downstream.enhancer_trained_in_cooperate or has_learned):
        what = "the downstream network would see images of an enhancer that has learned nothing"
        remedy = "give phases.enhance rounds, or start_from a model file"
        yield Mistake("downstream.enhancer_trained_in_cooperate", False, what, remedy)
    if downstream.sees == "original" and downstream.enhancer_trained_in_cooperate:
        what = "the downstream loss does not reach an enhancer whose images the network does not see"
        remedy = "set downstream.enhancer_trained_in_cooperate to false"
        yield Mistake("downstream.sees", downstream.sees, what, remedy)
