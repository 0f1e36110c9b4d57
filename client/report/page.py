"""The hospital's page: its model's figures on its own images, and the worst cases to look at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from client.report.cases import Case, Cases, gather
from client.report.ordering import told
from client.report.pictures import LARGEST_SIDE
from client.report.site_table import histograms, image_cells, site_lines
from hqgnet import __version__
from hqgnet.data.site_config import SiteConfig, load_site_config, misfits
from hqgnet.data.site_data import SiteData
from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError, DataError, Problem
from hqgnet.evaluation import judge
from hqgnet.files import make_folder, write_atomically
from hqgnet.guidance import site_guidance
from hqgnet.model_file import Model, load_model
from hqgnet.report.figures import figure
from hqgnet.report.page import render
from hqgnet.site_quality import site_quality

_TEMPLATES = Path(__file__).parent / "templates"
_OWNER_ONLY = 0o600


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        site: YAML file.
        model: Model file.
        out: Where the page goes; None: ``report.html`` in the site's work folder.
        split: Which images: ``test`` or ``validation``.
        images: How many cases are shown with pictures.
        names: Whether the images' file names are shown.
    """

    site: Path
    model: Path
    out: Path | None = None
    split: str = "test"
    images: int = 24
    names: bool = False


def write_report(request: Request) -> Path:
    """Judge the model on the site's images, write the page for its owner's eyes, and return where it lies.

    Raises:
        ConfigurationError: If the site file cannot be used, or does not fit the model.
        DataError: If the images cannot be used, or the split is empty.
        ModelFileError: If the model cannot be read.
        OutputError: If the page cannot be written.
    """
    config = load_site_config(request.site)
    device = choose_device(config.device)
    model = load_model(request.model, device)
    problems = misfits(config, model.experiment, str(request.site))
    if problems:
        raise ConfigurationError(problems)
    data = SiteData.open(config)
    if not data.lq[request.split]:
        remedy = "Take another --split, or give the split more patients in the site file"
        raise DataError(Problem(f"site {config.name}: split {request.split}", "holds no image", remedy))
    size = model.experiment.image_size
    guide = site_guidance(model.networks, data, model.experiment, device, model.guidance)
    judged = judge(model.networks, data, guide, size, request.split, with_task=model.task_trained)
    quality = site_quality(data) if "s_hq" in model.experiment.metrics else None
    gathered = gather(judged, model.experiment, quality, pictures=request.images)
    path = request.out or Path(config.work) / "report.html"
    make_folder(path.parent)
    facts = [*_facts(request, config, model), ("guide", _guide(guide, data))]
    text = page(request, config, gathered, facts, skipped=len(data.skipped))
    write_atomically(path, text.encode(), mode=_OWNER_ONLY)
    return path


def page(
    request: Request, config: SiteConfig, gathered: Cases, facts: list[tuple[str, str]], *, skipped: int = 0
) -> str:
    """Return the page as HTML: the same images and model give the same text.

    Args:
        request: What is asked for.
        config: The site.
        gathered: Its images, judged.
        facts: On the model, by name.
        skipped: How many of the site's files cannot be read.
    """
    shown = [case for case in gathered.cases if case.number in gathered.pictures]
    told_of = dict.fromkeys((*gathered.metrics, *gathered.of_all))
    sections = [("figures", "Figures"), ("spread", "Spread over images")]
    if shown:
        sections.append(("cases", "Worst cases"))
    return render(
        _TEMPLATES,
        "report.html",
        script=(_TEMPLATES / "slider.js").read_text(encoding="utf-8"),
        sections=[*sections, ("model", "Model and settings")],
        site=config.name,
        split=request.split,
        total=len(gathered.cases),
        left_out=len(gathered.cases) - len(shown),
        skipped=skipped,
        lines=site_lines(gathered),
        histograms=histograms(gathered),
        order=told(case.key for case in gathered.cases),
        cases=[(case, _name(case, config, request), image_cells(case, gathered.metrics)) for case in shown],
        pictures=gathered.pictures,
        largest_side=LARGEST_SIDE,
        meanings=[(known.title, known.meaning) for known in map(figure, told_of)],
        facts=facts,
        version=__version__,
    )


def _name(case: Case, config: SiteConfig, request: Request) -> str:
    return case.sample.path.relative_to(config.images.lq).as_posix() if request.names else ""


def _facts(request: Request, config: SiteConfig, model: Model) -> list[tuple[str, str]]:
    experiment, details = model.experiment, model.details
    with request.model.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    place = " ".join(str(details[key]) for key in ("phase", "round") if key in details)
    return [
        ("site", config.name),
        ("modality", config.modality),
        ("experiment", experiment.name),
        ("model of phase and round", place or "not told"),
        ("chosen as", str(details.get("chosen", "not told"))),
        ("model file, SHA-256", digest),
        ("judged at, longer side", f"{experiment.image_size} pixels"),
    ]


def _guide(guides: Tensor | None, data: SiteData) -> str:
    """Say what guided the model, from what :func:`hqgnet.guidance.site_guidance` returned."""
    if guides is None:
        return "none: this model takes no guide"
    if not (data.hq["test"] or data.hq["train"]):
        return "the cue that is stored with the model: the site has no HQ images"
    kind = "test" if data.hq["test"] else "training"
    if len(guides) == 1:
        return f"the site's first HQ {kind} image"
    return f"for each image one of the site's first {len(guides)} HQ {kind} images, by its number"
