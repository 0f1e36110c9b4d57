"""``hqgnet evaluate``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from torch import Tensor, nn

from hqgnet.commands.opening import open_site
from hqgnet.commands.outputs import prepare_file
from hqgnet.data.site_config import SiteConfig, load_site_config, misfits
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, ModelFileError, Problem
from hqgnet.evaluation import evaluate_site
from hqgnet.files import write_atomically
from hqgnet.guidance import site_guidance
from hqgnet.model_file import Model, load_model
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
    scores = _of_method(arguments, config) if arguments.method else _of_model(arguments, config)
    text = json.dumps({"site": config.name, "split": arguments.split, **scores.row()}, indent=2) + "\n"
    print(text, end="")
    if arguments.json:
        write_atomically(arguments.json, text.encode())


def _check(arguments: argparse.Namespace) -> None:
    """Refuse options of a model without one, those of guides without any, and the other way round."""
    of_guides = {
        "--out": arguments.out is not None,
        "--strengths": arguments.strengths is not None,
        "--seed": arguments.seed is not None,
        "--most-guides": arguments.most_guides is not None,
    }
    if arguments.method:
        of_guides |= {"--guides": bool(arguments.guides), "--guidance": arguments.guidance is not None}
        problems = _refused(
            of_guides, f"{arguments.method} takes no guide", "Leave it out, or give a --model"
        )
    else:
        what = "a model is judged at the size that it was trained at"
        problems = _refused({"--size": arguments.size is not None}, what, "Leave it out")
        if not arguments.guides:
            problems += _refused(
                of_guides, "is of --guides, which are not given", "Leave it out, or give them"
            )
    if problems:
        raise ConfigurationError(problems)


def _refused(options: Mapping[str, bool], what: str, remedy: str) -> list[Problem]:
    return [Problem(option, what, remedy) for option, is_given in options.items() if is_given]


def _of_method(arguments: argparse.Namespace, config: SiteConfig) -> SiteScores:
    networks = ClassicalNetworks(arguments.method, nn.Identity())
    data = _opened(arguments, config)
    return evaluate_site(networks, data, None, arguments.size or _SIZE, arguments.split, with_task=False)


def _of_model(arguments: argparse.Namespace, config: SiteConfig) -> SiteScores:
    model = load_model(arguments.model, choose_device(config.device))
    experiment = model.experiment
    problems = misfits(config, experiment, str(arguments.site))
    if not model.networks.guidance_size:
        problems += _refused(
            {"--guidance": arguments.guidance is not None}, "this model takes no guide", "Leave it out"
        )
    if problems:
        raise ConfigurationError(problems)
    if arguments.guidance == "stored" and model.guidance is None:
        remedy = "Leave --guidance stored out: the site's own HQ image serves"
        raise ModelFileError(Problem(str(arguments.model), "holds no guidance", remedy))
    data = _opened(arguments, config)
    return evaluate_site(
        model.networks,
        data,
        model.guidance if arguments.guidance == "stored" else _guidance_of(model, data),
        experiment.image_size,
        arguments.split,
        with_task=model.task_trained,
        metrics=experiment.metrics,
    )


def _guidance_of(model: Model, data: SiteData) -> Tensor | None:
    return site_guidance(model.networks, data, model.experiment, model.networks.device, model.guidance)


def _opened(arguments: argparse.Namespace, config: SiteConfig) -> SiteData:
    if arguments.json:
        prepare_file(arguments.json)
    return open_site(config, arguments.split)
