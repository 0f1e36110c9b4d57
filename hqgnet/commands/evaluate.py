"""``hqgnet evaluate``."""

from __future__ import annotations

import argparse
import json

from hqgnet.data.site_config import load_site_config, misfits
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.evaluation import evaluate_site
from hqgnet.files import write_atomically
from hqgnet.guidance import site_guidance
from hqgnet.model_file import load_model


def evaluate(arguments: argparse.Namespace) -> None:
    """Print, and by option write, the row of one site; with ``--guides``, figures under many guides."""
    if arguments.guides:
        from hqgnet.commands.evaluate_guides import evaluate_guides

        evaluate_guides(arguments)
        return
    config = load_site_config(arguments.site)
    device = choose_device(config.device)
    model = load_model(arguments.model, device)
    experiment = model.experiment
    problems = misfits(config, experiment, str(arguments.site))
    if problems:
        raise ConfigurationError(problems)
    data = SiteData.open(config)
    if arguments.guidance == "site" or not model.networks.guidance_size:
        guidance = site_guidance(model.networks, data, experiment, device)
    elif model.guidance is not None:
        guidance = model.guidance
    else:
        remedy = "Leave --guidance stored out: the site's own HQ image serves"
        raise ModelFileError(Problem(str(arguments.model), "holds no guidance", remedy))
    with_task = bool(model.details.get("task_trained", True))
    scores = evaluate_site(
        model.networks,
        data,
        guidance,
        experiment.image_size,
        arguments.split,
        with_task=with_task,
        metrics=experiment.metrics,
    )
    text = json.dumps({"site": config.name, "split": arguments.split, **scores.row()}, indent=2) + "\n"
    if arguments.json:
        write_atomically(arguments.json, text.encode())
    print(text, end="")
