"""``hqgnet-server compare``: sites alone, pooled, federated, fine-tuned; or variants of the federation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.commands import Commands


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "compare", help="does federating pay: sites alone, pooled, federated, fine-tuned; on this machine"
    )
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT.yaml")
    parser.add_argument("--sites", required=True, metavar="GLOB", help="site YAML files, in quotes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="added to if it is there")
    parser.add_argument(
        "--seeds", type=_seeds, default=None, metavar="1,2", help="seeds of training (the experiment's)"
    )
    parser.add_argument(
        "--finetune-steps", type=_positive, metavar="N", help="local steps (a tenth of the experiment's)"
    )
    parser.add_argument(
        "--workers", type=_positive, default=1, metavar="N", help="models trained at a time, a thread each"
    )
    parser.add_argument(
        "--variants",
        type=Path,
        metavar="FILE.yaml",
        help="instead: the federation under each of these variants of the experiment (docs/strategies.md)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train, judge, print the matrices."""
    from hqgnet.config import load_experiment
    from server.comparison.compare import Comparison, compare
    from server.display import choose_display

    seeds = arguments.seeds or (load_experiment(arguments.experiment).seed,)
    comparison = Comparison(
        arguments.experiment,
        arguments.sites,
        arguments.out,
        seeds,
        arguments.finetune_steps,
        arguments.workers,
        arguments.variants,
    )
    compare(comparison, lambda text: print(text, flush=True), choose_display)


def _seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if min(seeds) < 0:
        raise argparse.ArgumentTypeError("seeds are 0 or more")
    return seeds


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
