"""One folder of a comparison is of one experiment, one set of sites and images, and one kind of model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import make_folder, write_atomically

Json = dict[str, Any]
_FILE = "plan.json"
_SAID = {
    "experiment": "another experiment",
    "sites": "other sites",
    "finetune_steps": "another --finetune-steps",
}


def claimed(
    out: Path,
    experiment: Experiment,
    sites: Mapping[str, str],
    finetune_steps: int,
    variants: Mapping[str, Json],
    say: Callable[[str], None],
) -> Json:
    """Return what is compared, having checked that a folder that is there is of the same.

    Seeds may be added, and variants: of those the first is what others are held against, and those of earlier
    times are remembered, since their models lie there and belong to the tables. Images may not change: two
    models' figures are paired by the number of an image.

    Args:
        out: The folder; it need not be there yet.
        experiment: What all models start from.
        sites: The digest of each site's images (:func:`hqgnet.data.digest.content_digest`), by its name.
        finetune_steps: What a site's own model is trained further; of variants none is.
        variants: See :func:`server.comparison.variants.read_variants`; empty where there are none.
        say: Told of a folder of an earlier version, which holds no digests: those of now are taken.

    Raises:
        ConfigurationError: If the folder is of something else, or a variant of that name was another one.
    """
    mine: Json = {
        "experiment": json.loads(experiment.to_json()),
        "sites": sorted(sites),
        "images": dict(sites),
    }
    mine |= {"variants": dict(variants)} if variants else {"finetune_steps": finetune_steps}
    file = out / _FILE
    if not file.exists():
        return mine
    kept = _read(file)
    merged = mine | _checked(mine, {"images": mine["images"]} | kept, out)
    if "images" not in kept:
        say(f"{out} is of an earlier version, which noted no images: taken to be the same images as now")
    return merged


def write_claim(out: Path, claim: Json) -> None:
    """Note in the folder what :func:`claimed` returned.

    Raises:
        OutputError: If it cannot be written.
    """
    make_folder(out)
    write_atomically(out / _FILE, (json.dumps(claim, indent=2) + "\n").encode())


def _checked(mine: Json, kept: Json, out: Path) -> Json:
    """Return the variants of now and, behind them, of earlier times."""
    differing = [said for key, said in _SAID.items() if mine.get(key) != kept.get(key)]
    changed = [site for site, digest in mine["images"].items() if kept["images"].get(site, digest) != digest]
    if changed:
        differing.append(f"other images of {' and '.join(changed)}")
    if mine.keys() != kept.keys():
        differing = ["another kind, with --variants or without"]
    if differing:
        what = f"holds a comparison of {' and '.join(differing)}"
        remedy = "Give another --out" + (", or the images that it was begun with" if changed else "")
        raise ConfigurationError(Problem(str(out), what, remedy))
    if "variants" not in mine:
        return {}
    earlier = kept["variants"]
    changed = [name for name, what in mine["variants"].items() if earlier.get(name, what) != what]
    if changed:
        what = f"{', '.join(changed)} meant something else when {out} was made"
        remedy = "Give the variant another name, or another --out"
        raise ConfigurationError(Problem("--variants", what, remedy))
    return {"variants": mine["variants"] | {n: v for n, v in earlier.items() if n not in mine["variants"]}}


def _read(file: Path) -> Json:
    try:
        kept: Json = json.loads(file.read_text(encoding="utf-8"))
        return kept | {key: dict(kept[key]) for key in ("images", "variants") if key in kept}
    except (OSError, ValueError, TypeError) as error:
        what = f"cannot be read ({type(error).__name__})"
        raise ConfigurationError(Problem(str(file), what, "Give another --out")) from error
