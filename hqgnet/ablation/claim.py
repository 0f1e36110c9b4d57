"""One folder of results is of one experiment, one budget and one set of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hqgnet.ablation.stages import PRETRAINING_SHARE
from hqgnet.config import Experiment
from hqgnet.data.digest import content_digest
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import make_folder, remove_unfinished, write_atomically

_FILE = "plan.json"
_SEEDLESS = {"seed"}


def claim(out: Path, experiment: Experiment, budget: int, data: Sequence[SiteData]) -> None:
    """Note in a new folder what its results are of, or check that they are of the same.

    Seeds, rows and tables may be added; what is there is not made again.

    Raises:
        ConfigurationError: If the folder's results are of something else.
        OutputError: If it cannot be written.
    """
    make_folder(out)
    remove_unfinished(out)
    mine = {
        # Not the defaults: a later version may add keys. What is given beside them decides whether a method's
        # own default stands.
        "experiment": experiment.model_dump(mode="json", exclude=_SEEDLESS, exclude_defaults=True),
        "given": experiment.model_dump(mode="json", exclude=_SEEDLESS, exclude_unset=True),
        "budget": budget,
        "pretraining_share": PRETRAINING_SHARE,
        "sites": {site.config.name: content_digest(site) for site in data},
    }
    file = out / _FILE
    if file.exists():
        _check(mine, file, out)
    else:
        write_atomically(file, (json.dumps(mine, indent=2) + "\n").encode())


def _check(mine: dict[str, object], file: Path, out: Path) -> None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key in mine if mine[key] != kept.get(key)]
    except (OSError, ValueError, AttributeError) as error:
        what = f"cannot be read ({type(error).__name__})"
        raise ConfigurationError(Problem(str(file), what, "Give another --out")) from error
    said = {
        "budget": f"another --budget ({kept.get('budget')} steps)",
        "experiment": "another experiment",
        "given": "another experiment",
        "sites": "other images",
        "pretraining_share": "another version of this program",
    }
    if differing:
        texts = " and ".join(dict.fromkeys(said[key] for key in differing))
        what = f"holds results of {texts}: they would be mixed"
        remedy = "Give another --out, or the experiment, budget and sites that it was begun with"
        raise ConfigurationError(Problem(str(out), what, remedy))
