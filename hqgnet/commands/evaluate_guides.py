"""``hqgnet evaluate --guides``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track

from hqgnet.commands.opening import open_site
from hqgnet.commands.outputs import prepare_file, prepare_folder
from hqgnet.data.site_config import load_site_config, misfits
from hqgnet.data.site_data import EvaluationItem
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError
from hqgnet.files import write_atomically
from hqgnet.model_file import load_model
from hqgnet.robustness.guides import MOST_GUIDES, Plan, gather
from hqgnet.robustness.noise import STRENGTHS
from hqgnet.robustness.plots import noise_plots
from hqgnet.robustness.results import table_text, to_csv, to_json
from hqgnet.robustness.specs import read_specs
from hqgnet.robustness.study import guided_networks, study


def evaluate_guides(arguments: argparse.Namespace) -> None:
    """Print, and by option write, a model's figures at one site under many guides.

    Raises:
        ConfigurationError: If a set of guides is unknown, or site and model do not fit.
        DataError: If images cannot be used.
        ModelFileError: If the model cannot be read, or its stored cue is asked for and there is none.
        OutputError: If results cannot be written.
    """
    specs = read_specs(arguments.guides)
    config = load_site_config(arguments.site)
    device = choose_device(config.device)
    model = load_model(arguments.model, device)
    networks = guided_networks(model, str(arguments.model))
    problems = misfits(config, model.experiment, str(arguments.site))
    if problems:
        raise ConfigurationError(problems)
    if arguments.out:
        prepare_folder(arguments.out)
    if arguments.json:
        prepare_file(arguments.json)
    data = open_site(config, arguments.split)
    plan = Plan(arguments.strengths or STRENGTHS, arguments.seed or 0, arguments.most_guides or MOST_GUIDES)
    conditions = gather(specs, data, model, plan)
    found = study(model, networks, data, conditions, arguments.split, plan.seed, device, watch=_with_bar)
    head = f"{config.name}: {found.images} {arguments.split} images, mean ± standard deviation over guides"
    missing = model.guidance is None and any(spec.kind == "stored" for spec in specs)
    notes = ["the model file holds no cue: stored is left out"] if missing else []
    print(table_text(found, head, notes), end="")
    if arguments.json:
        about = {
            "site": config.name,
            "modality": config.modality,
            "split": arguments.split,
            "seed": plan.seed,
        }
        write_atomically(arguments.json, (json.dumps(about | to_json(found), indent=2) + "\n").encode())
    if arguments.out:
        write_atomically(arguments.out / "guides.csv", to_csv(found).encode())
        drawing = noise_plots(found, f"{config.name}: figures against noise on the guide")
        if drawing is not None:
            write_atomically(arguments.out / "noise.svg", drawing.encode())


def _with_bar(items: Iterable[EvaluationItem], count: int) -> Iterable[EvaluationItem]:
    console = Console(stderr=True)
    return track(items, "judging", total=count, console=console, disable=not console.is_terminal)
