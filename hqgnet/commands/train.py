"""``hqgnet train``."""

from __future__ import annotations

import argparse

from hqgnet.commands.opening import open_site
from hqgnet.commands.outputs import prepare_file
from hqgnet.config import Experiment, PhaseName, load_experiment
from hqgnet.data.site_config import load_site_config, misfits
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.guidance import mean_guidance
from hqgnet.labels import label_problems
from hqgnet.model_file import TASK_TRAINED, save_model
from hqgnet.training.central import train_centrally
from hqgnet.training.local import LocalResult
from hqgnet.training.selection import task_is_trained
from hqgnet.yaml_files import validate_mapping


def train(arguments: argparse.Namespace) -> None:
    """Train on one site or on several pooled, and write the model."""
    experiment = load_experiment(arguments.experiment)
    if arguments.seed is not None:
        given = experiment.model_dump(exclude_unset=True) | {"seed": arguments.seed}
        experiment = validate_mapping(given, Experiment, f"{arguments.experiment} with --seed")
    if arguments.output.suffix != ".safetensors":
        remedy = "End the file name in .safetensors"
        raise ConfigurationError(Problem("--output", f"{arguments.output} is not a safetensors file", remedy))
    configs = [load_site_config(path) for path in arguments.sites]
    problems = [
        problem
        for path, config in zip(arguments.sites, configs, strict=True)
        for problem in misfits(config, experiment, str(path))
    ]
    problems += label_problems(configs, experiment, str(arguments.experiment))
    if problems:
        raise ConfigurationError(problems)
    device = choose_device(configs[0].device)
    prepare_file(arguments.output)
    data = [open_site(config) for config in configs]

    def report(phase: PhaseName, number: int, result: LocalResult) -> None:
        losses = "  ".join(f"{name} {value:.4f}" for name, value in result.losses.items())
        print(
            f"{phase:9s} {number}/{experiment.phase(phase).rounds}  {losses}  {result.seconds:.1f} s",
            flush=True,
        )

    trainer = train_centrally(experiment, data, device, report)
    guidance = None
    if trainer.networks.guidance_size == experiment.numbers.guidance_dim:
        # Feature maps are not stored: their mean shows more of the images than 64 numbers do.
        guidance, _ = mean_guidance(trainer.networks, data, experiment.image_size, device)
    details = {"trained": "centrally", TASK_TRAINED: task_is_trained(experiment, data)}
    save_model(arguments.output, trainer.networks, experiment, guidance=guidance, details=details)
    print(arguments.output)
