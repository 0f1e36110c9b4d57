"""``hqgnet ablate``."""

from __future__ import annotations

import argparse
import json
import sys

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.run import Ablation
from hqgnet.ablation.run import ablate as run_table
from hqgnet.commands.opening import open_site
from hqgnet.config import load_experiment
from hqgnet.data.site_config import load_site_config, misfits
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError


def ablate(arguments: argparse.Namespace) -> None:
    """Train and judge a table's rows, and print it beside the paper's figures."""
    table = table_named(arguments.table)
    rows = rows_named(table, arguments.rows)
    experiment = load_experiment(arguments.experiment)
    configs = [load_site_config(path) for path in arguments.sites]
    problems = [
        problem
        for path, config in zip(arguments.sites, configs, strict=True)
        for problem in misfits(config, experiment, str(path))
    ]
    if problems:
        raise ConfigurationError(problems)
    asked = Ablation(
        table,
        rows,
        experiment,
        str(arguments.experiment),
        arguments.budget,
        arguments.seeds or (experiment.seed,),
        arguments.out,
        arguments.with_downstream,
    )
    device = choose_device(configs[0].device)
    data = [open_site(config) for config in configs]
    # Progress is not the result: standard output holds the table alone.
    text, whole = run_table(asked, data, device, lambda told: print(told, file=sys.stderr, flush=True))
    print(json.dumps(whole, indent=2) if arguments.json else text, end="\n" if arguments.json else "")
