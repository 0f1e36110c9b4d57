"""``hqgnet sites make``."""

from __future__ import annotations

import argparse

from hqgnet.data.synthetic.sites import make_sites


def make(arguments: argparse.Namespace) -> None:
    """Write synthetic sites and name their YAML files."""
    for path in make_sites(
        arguments.modality,
        arguments.sites,
        arguments.seed,
        arguments.out,
        size=arguments.size,
        train_lq=arguments.train_lq,
        train_hq=arguments.train_hq,
    ):
        print(path)
