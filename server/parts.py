"""Whether enough sites can train in every phase, from what their data cards tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hqgnet.config import Experiment, PhaseName
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.exchange.participation import part_in
from hqgnet.labels import has_labels
from server.roster import Site


def check_parts(experiment: Experiment, sites: Sequence[Site], phases: Sequence[PhaseName]) -> None:
    """Make sure of it before the first round.

    Args:
        experiment: What is trained.
        sites: Who has joined.
        phases: Those that are still to come.

    Raises:
        ConfigurationError: Naming what is lacking at which site, and what to do.
    """
    minimum = experiment.federation.minimum_sites
    problems = []
    for phase in phases:
        idle = {
            site: part.note for site in sites if not (part := part_in(phase, site.card, experiment)).trains
        }
        if len(sites) - len(idle) < minimum:
            problems.append(_problem(experiment, phase, len(sites) - len(idle), idle))
    if problems:
        raise ConfigurationError(problems)


def _problem(experiment: Experiment, phase: PhaseName, able: int, idle: Mapping[Site, str]) -> Problem:
    minimum, label = experiment.federation.minimum_sites, experiment.downstream.label
    if any(has_labels(site.card, experiment) for site in idle) or phase != "cooperate":
        why = "; ".join(f"{site.name}: {note}" for site, note in idle.items())
        what = f"{able} sites can train in phase {phase}, {minimum} are wanted ({why})"
        remedy = "Lower it, give the sites what they lack, or set the phase's rounds to 0"
        return Problem("federation.minimum_sites", what, remedy)
    what = f"{able} sites have {label}, {minimum} are wanted in the cooperate phase"
    if experiment.downstream.enhancer_trained_in_cooperate:
        remedy = f"Set it to enhancement, lower federation.minimum_sites, or add {label}"
        return Problem("federation.unlabelled_sites: skip", what, remedy)
    remedy = f"Lower federation.minimum_sites, or add {label}"
    return Problem("downstream.enhancer_trained_in_cooperate: false", what, remedy)
