"""``hqgnet evaluate``."""

from __future__ import annotations

import argparse
import json

from torch import nn

from hqgnet.data.site_config import SiteConfig, load_site_config, misfits
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.evaluation import evaluate_site
from hqgnet.files import write_atomically
from hqgnet.guidance import site_guidance
from hqgnet.model_file import load_model
from hqgnet.networks import ClassicalNetworks
from hqgnet.scores import SiteScores

_SIZE = 384
"""Pixels of the longer side at which a classical method is judged unless another is asked for."""


def evaluate(arguments: argparse.Namespace) -> None:
    """Print, and by option write, the row of one site; with ``--guides``, figures under many guides."""
    _check(arguments)
    if arguments.guides:
        from hqgnet.commands.evaluate_guides import evaluate_guides

        evaluate_guides(arguments)
        return
    config = load_site_config(arguments.site)
    if arguments.method:
        _print(arguments, config, _classical(arguments, SiteData.open(config)))
        return
    device = choose_device(config.device)
    model = load_model(arguments.model, device)
    experiment = model.experiment
    problems = misfits(config, experiment, str(arguments.site))
    if problems:
        raise ConfigurationError(problems)
    data = SiteData.open(config)
    if arguments.guidance == "site" or not model.networks.guidance_size:
        guidance = site_guidance(model.networks, data, experiment, device, model.guidance)
    elif model.guidance is not None:
        guidance = model.guidance
    else:
        remedy = "Leave --guidance stored out: the site's own HQ image serves"
        raise ModelFileError(Problem(str(arguments.model), "holds no guidance", remedy))
    scores = evaluate_site(
        model.networks,
        data,
        guidance,
        experiment.image_size,
        arguments.split,
        with_task=model.task_trained,
        metrics=experiment.metrics,
    )
    _print(arguments, config, scores)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options of a model without one, and the other way round."""
    if arguments.method:
        given = {"--guides": arguments.guides, "--guidance": arguments.guidance == "stored"}
        what, remedy = f"{arguments.method} takes no guide", "Leave it out, or give a --model"
    else:
        given = {"--size": arguments.size}
        what, remedy = "a model is judged at the size that it was trained at", "Leave it out"
    problems = [Problem(option, what, remedy) for option, is_given in given.items() if is_given]
    if problems:
        raise ConfigurationError(problems)


def _classical(arguments: argparse.Namespace, data: SiteData) -> SiteScores:
    networks = ClassicalNetworks(arguments.method, nn.Identity())
    return evaluate_site(networks, data, None, arguments.size or _SIZE, arguments.split, with_task=False)


def _print(arguments: argparse.Namespace, config: SiteConfig, scores: SiteScores) -> None:
    text = json.dumps({"site": config.name, "split": arguments.split, **scores.row()}, indent=2) + "\n"
    if arguments.json:
        write_atomically(arguments.json, text.encode())
    print(text, end="")
