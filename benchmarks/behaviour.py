"""What trained models do to a site's images beyond what metrics of likeness tell.

``python -m benchmarks.behaviour --sites 'sites/*/site.yaml' MODEL.safetensors ... --json``

For each model and site, on the test images (``--split``):

- ``brightness_needed``, ``brightness_made``: mean of the twin less the original's, and of the enhanced image
  less the original's. A model that shifts all images alike makes the same everywhere, whatever is needed.
- ``dice_original``, ``dice_enhanced``, ``dice_twin``: mean over images of the model's own segmentor's, on the
  image as it is, enhanced, and on its clean twin. Between the last two lies what a better enhancer could win.
- ``change``: mean absolute change that the enhancer makes; ``change_without_guide``: by how much its output
  changes when v_z is set to zero. Where that is nothing beside the former, the guide is not used.
- ``cue_length``, ``cue_spread``: length of the mean v_z over the first ``--guides`` HQ images; root of the
  summed variances over that length.

A figure that a site or a model has not is n/a, null in JSON.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.harness import Result, environment, processors, report
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.evaluation import Judged, judge
from hqgnet.guidance import described_samples, site_guidance
from hqgnet.metrics.segmentation import segmentation_update
from hqgnet.model_file import Model, load_model
from server.simulation import find_sites

_GUIDES = 12


def main(given: Sequence[str] | None = None) -> None:
    """Look at models, and report."""
    parser = argparse.ArgumentParser(description="What trained models do to sites' images.")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    parser.add_argument("--threads", type=int, default=processors(), help="for torch")
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--sites", required=True, metavar="GLOB")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--guides", type=int, default=_GUIDES, help="HQ images whose v_z is looked at")
    chosen = parser.parse_args(given)
    torch.set_num_threads(chosen.threads)
    sites = [SiteData.open(load_site_config(file)) for file in find_sites(chosen.sites)]
    result: Result = {"environment": environment(chosen.threads)}
    for file in chosen.models:
        model = load_model(file)
        result[str(file)] = {
            site.config.name: behaviour(model, site, chosen.split, chosen.guides) for site in sites
        }
        if not chosen.json:
            sys.stdout.write(_table(file, result[str(file)]))
    if chosen.json:
        report(result, as_json=True)


@torch.inference_mode()
def behaviour(model: Model, site: SiteData, split: str, guides: int = _GUIDES) -> Result:
    """Return the figures of one model at one site; see the module.

    Args:
        model: To be looked at, on the CPU.
        site: Opened.
        split: ``"validation"`` or ``"test"``.
        guides: How many HQ images at most.
    """
    experiment, networks = model.experiment, model.networks
    size = experiment.image_size
    guide = site_guidance(networks, site, experiment, torch.device("cpu"), model.guidance)
    with_task = model.task_trained and networks.task_kind == "segmentation"
    rows = [
        dict(_of_image(model, judged, guide))
        for judged in judge(networks, site, guide, size, split, with_task=with_task)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    found: Result = {name: _mean([row.get(name) for row in rows]) for name in names}
    return found | _cues(model, site, guides)


def _of_image(model: Model, judged: Judged, guide: Tensor | None) -> Iterator[tuple[str, float | None]]:
    item, networks = judged.item, model.networks
    original, enhanced = item.lq, judged.enhanced[0]
    twin = item.twin
    yield "brightness_needed", None if twin is None else float(twin.mean() - original.mean())
    yield "brightness_made", float(enhanced.mean() - original.mean())
    predicted = dict(judged.probability)
    if predicted and twin is not None:
        predicted["twin"] = networks.predict(twin.unsqueeze(0))
    for version in ("original", "enhanced", "twin"):
        yield f"dice_{version}", _dice(predicted.get(version), item.mask)
    yield "change", float((enhanced - original).abs().mean())
    if guide is not None:
        unguided = networks.enhance(original.unsqueeze(0), torch.zeros_like(guide[:1])).float().clamp(0, 1)
        yield "change_without_guide", float((enhanced - unguided[0]).abs().mean())


def _dice(probability: Tensor | None, mask: Tensor | None) -> float | None:
    if probability is None or mask is None:
        return None
    return segmentation_update(probability[0, 0], mask[0]).compute()["dice"]


def _cues(model: Model, site: SiteData, guides: int) -> Result:
    samples = (site.hq["test"] or site.hq["train"])[:guides]
    found = described_samples(
        model.networks, [(site, samples)], model.experiment.image_size, torch.device("cpu")
    )
    if len(found) < 2:
        return {"cue_length": None, "cue_spread": None}
    cues = torch.cat(found)
    length = float(cues.mean(dim=0).norm())
    return {
        "cue_length": length,
        "cue_spread": float(cues.var(dim=0).sum().sqrt()) / length if length else None,
    }


def _table(file: Path, sites: Mapping[str, Result]) -> str:
    """Return a line a figure, a column a site."""
    width = max(map(len, sites)) + 2
    head = f"{file}\n{'':<22}" + "".join(f"{name:>{max(width, 10)}}" for name in sites)
    lines = [head]
    for figure in dict.fromkeys(name for row in sites.values() for name in row):
        values = (row.get(figure) for row in sites.values())
        shown = ("n/a" if value is None else f"{value:.4f}" for value in values)
        lines.append(f"{figure:<22}" + "".join(f"{text:>{max(width, 10)}}" for text in shown))
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


if __name__ == "__main__":
    main()
