"""What a site does in each phase of an experiment, and why not more: a function of what it has.

The server asks a site only for what it can do, and says so; the site's own check says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hqgnet.config import PHASES, Experiment, PhaseName
from hqgnet.exchange.groups import is_guided, takes_part, trained_groups
from hqgnet.labels import Labelled, has_labels


class Holdings(Labelled, Protocol):
    """A site's images, what it tells of them, or the folders that its file names."""

    @property
    def has_hq(self) -> bool:
        """Whether there are HQ images to train on."""
        ...


@dataclass(frozen=True)
class Part:
    """A site's part in a phase.

    Attributes:
        phase: Which.
        losses: Those that it trains with, as logs name them; none where it sits out.
        note: What it lacks and does in its place, or why it sits out; empty where it lacks nothing.
    """

    phase: PhaseName
    losses: tuple[str, ...]
    note: str = ""

    @property
    def trains(self) -> bool:
        """Whether the site is asked to train."""
        return bool(self.losses)


def part_in(phase: PhaseName, site: Holdings, experiment: Experiment, *, lent: bool = True) -> Part:
    """Return a site's part in a phase.

    Args:
        phase: Which.
        site: What it has.
        experiment: What is trained, and whether there is a bank of cues.
        lent: Whether that bank holds any cues; True before anyone was asked.
    """
    labelled = has_labels(site, experiment)
    if not takes_part(phase, experiment, labelled, site.has_hq):
        return Part(phase, (), _why_not(phase, site, experiment))
    if not (site.has_hq or lent) and _needs_guides(phase, experiment):
        return Part(phase, (), "no HQ images, and the bank holds no cues")
    if phase == "pretrain":
        return Part(phase, ("reconstruction",), "" if site.has_hq else "no HQ images: on LQ images alone")
    groups = trained_groups(phase, experiment, labelled, site.has_hq)
    losses = _enhancement_losses(site, experiment) if "generator" in groups else ()
    notes = []
    if not site.has_hq and _needs_guides(phase, experiment):
        notes.append("no HQ images: with cues of the bank")
    elif not site.has_hq and losses:
        notes.append("no HQ images")
    if losses and "adversarial" not in losses and not site.has_hq:
        notes.append("without L_GAN")
    if phase == "cooperate" and not labelled:
        notes.append(f"no {experiment.downstream.label}: the enhancer alone")
    if phase == "cooperate" and labelled:
        losses += (experiment.downstream.task,)
    return Part(phase, losses, ", ".join(notes))


def cannot_judge(site: Holdings, experiment: Experiment, *, lent: bool = True) -> str:
    """Return why a site cannot judge models; empty where it can.

    Args:
        site: What it has.
        experiment: What is trained, and whether there is a bank of cues.
        lent: Whether that bank holds any cues.
    """
    if site.has_hq or not is_guided(experiment):
        return ""
    if not experiment.federation.cue_bank.enabled:
        return "no HQ images, and federation.cue_bank is off"
    return "" if lent else "no HQ images, and the bank holds no cues"


def is_of_use(site: Holdings, experiment: Experiment) -> bool:
    """Return whether a site can do anything at all: train in a phase, or judge models."""
    phases = [phase for phase in PHASES if experiment.phase(phase).rounds]
    trains = any(part_in(phase, site, experiment).trains for phase in phases)
    return trains or not cannot_judge(site, experiment)


def lacks(site: Holdings, experiment: Experiment) -> str:
    """Return in one line what a site lacks and what follows; empty where it can do everything."""
    phases = [phase for phase in PHASES if experiment.phase(phase).rounds]
    parts = [part for phase in phases if (part := part_in(phase, site, experiment)).note]
    told = [f"{_verb(part)} {part.phase} ({part.note})" for part in parts]
    why = cannot_judge(site, experiment)
    if why:
        told.append(f"does not judge models ({why})")
    elif not site.has_hq and is_guided(experiment):
        told.append("judges models with the bank's mean cue")
    return "; ".join(told)


def in_any_experiment(site: Holdings) -> list[str]:
    """Return what a site lacks, and what follows in whatever experiment; nothing if it can do everything.

    Labels of one kind are enough: which one a downstream network learns from is the experiment's affair.
    """
    told = []
    if not site.has_hq:
        told.append(
            "no HQ images: pretrains on LQ images alone; trains the generator in enhance and cooperate, and "
            "judges models, with cues of the bank where the experiment has one (federation.cue_bank); else "
            "sits these out, unless the enhancer needs no guide"
        )
    if not (site.has_masks or site.has_grades):
        told.append(
            "no masks and no grades: in cooperate trains the enhancer alone, or sits out where the "
            "experiment says so (federation.unlabelled_sites)"
        )
    return told


def _verb(part: Part) -> str:
    return "trains" if part.trains else "sits out"


def _why_not(phase: PhaseName, site: Holdings, experiment: Experiment) -> str:
    if takes_part(phase, experiment, has_labels=True, has_hq=site.has_hq):
        skips = experiment.federation.unlabelled_sites == "skip"
        rule = "federation.unlabelled_sites is skip" if skips else "the downstream network alone is trained"
        return f"no {experiment.downstream.label}, and {rule}"
    if phase == "pretrain":
        return "no HQ images, and ablation.pretraining is hq"
    if experiment.method != "hqgnet":
        return f"no HQ images, from which {experiment.method} learns"
    if is_guided(experiment) and not experiment.federation.cue_bank.enabled:
        return "no HQ images, and federation.cue_bank is off"
    return "no HQ images, and without L_GAN no loss is left"


def _needs_guides(phase: PhaseName, experiment: Experiment) -> bool:
    """Whether images are enhanced in the phase, by an enhancer that cues guide."""
    downstream = experiment.downstream
    on_originals = not downstream.enhancer_trained_in_cooperate and downstream.sees == "original"
    return phase != "pretrain" and is_guided(experiment) and not (phase == "cooperate" and on_originals)


def _enhancement_losses(site: Holdings, experiment: Experiment) -> tuple[str, ...]:
    if experiment.method != "hqgnet":
        return ("enhancement", "adversarial")
    kept = experiment.ablation.content_loss
    structural = {"haar_and_consistency": "haar", "haar": "haar", "structure": "structure"}.get(kept)
    consistent = "feature_consistency" if kept in ("haar_and_consistency", "consistency") else None
    is_judged = site.has_hq or experiment.federation.share_discriminator
    adversarial = "adversarial" if is_judged else None
    return tuple(loss for loss in (structural, consistent, adversarial) if loss)
