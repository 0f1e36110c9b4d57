"""``hqgnet-client check``: open the site as a run would, and show what leaves it."""

from __future__ import annotations

import sys
from pathlib import Path

from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import DataError, Problem
from hqgnet.exchange.data_card import DataCard


def check_site(file: Path, *, as_json: bool) -> None:
    """Open a site and print its data card.

    Raises:
        ConfigurationError: If the YAML cannot be used; every mistake is named.
        DataError: If there is nothing to train on.
    """
    config = load_site_config(file)
    device = choose_device(config.device)
    data = SiteData.open(config)
    card = DataCard.of(data)
    if not card.lq.train or not card.hq.train:
        kind = "HQ" if card.lq.train else "LQ"
        remedy = "Give more patients, or lower split.validation and split.test"
        raise DataError(Problem(str(file), f"no {kind} image is left to train on", remedy))
    sys.stdout.write(f"{card.to_json()}\n" if as_json else page(file, card, data, str(device)))


def page(file: Path, card: DataCard, data: SiteData, device: str) -> str:
    """Return what a person reads: counts, what is missing, what would leave."""
    config = data.config
    guidance = config.share_guidance and card.hq.train >= config.minimum_images_for_guidance
    sides = f"{card.shortest_side} to {card.longest_side}"
    use = "for the downstream network" if card.has_masks else "none to train on"
    lines = [
        f"{card.name} ({file})",
        f"  images    {card.modality}, {card.channels} channels, {sides} pixels",
        f"  LQ        {card.lq.train} to train, {card.lq.validation} to validate, {card.lq.test} to test",
        f"  HQ        {card.hq.train} to train, {card.hq.validation} to validate, {card.hq.test} to test",
        f"  patients  {card.patients}",
        f"  masks     {card.masks}, {use}",
        f"  twins     {card.twins}",
        f"  skipped   {card.skipped}",
        *(f"            {problem}" for problem in data.skipped),
        f"  device    {device}",
        f"  work      {config.work}",
        "What leaves the site: these counts, network weights, losses, sums of metrics"
        + (
            ", and the mean cue of the HQ images."
            if guidance
            else "; the mean cue of the HQ images does not."
        ),
    ]
    return "\n".join(lines) + "\n"
