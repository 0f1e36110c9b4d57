"""The top of the page: how the run ended, and its result in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hqgnet.config import Experiment
from hqgnet.errors import ConfigurationError, ExitCode
from hqgnet.exchange.groups import has_personal_model
from hqgnet.method_config import CLASSICAL_METHODS
from hqgnet.report.figures import Figure, difference, finite, present, write, write_change, write_seconds
from hqgnet.yaml_files import validate_mapping
from server.report.record import Json, RunRecord
from server.report.results import Basis, basis, worse_at

_IMAGES = {"fundus": "fundus photographs", "ccm": "corneal confocal images", "colonoscopy": "colonoscopies"}
_METHODS = {"hqgnet": "HQG-Net", "stillgan": "StillGAN", "enlightengan": "EnlightenGAN"}
_METHODS |= {method: method.upper() for method in CLASSICAL_METHODS}


@dataclass(frozen=True)
class Summary:
    """What is said first.

    Attributes:
        good: Whether the run ended as it should.
        state: One word, or a few.
        meaning: What that means for the reader.
        trained: What was trained.
        result: In a sentence; empty without one.
        worse: What became worse, and where.
    """

    good: bool
    state: str
    meaning: str
    trained: str
    result: str
    worse: list[str]


def summary(record: RunRecord) -> Summary:
    """Return the top of the page."""
    state, meaning = _ended(record)
    return Summary(
        record.state == "completed", state, meaning, _trained(record), _result(record), worse_at(record)
    )


def _ended(record: RunRecord) -> tuple[str, str]:
    rounds = f"after {len(record.counted)} of {_planned(record)} rounds"
    so_far = "What follows is how far it"
    if record.state == "completed":
        return "Completed", f"{rounds}{_took(record)}."
    if record.exit_code == ExitCode.INTERRUPTED:
        return "Stopped by a person", f"{rounds}. {so_far} came; it can be resumed."
    if record.state == "failed":
        return "Failed", f"{rounds}, with exit code {record.exit_code}. {so_far} came."
    if record.state == "running":
        return "Not over", f"{rounds}, when this page was made. {so_far} had come."
    return "Not known how it ended", f"{rounds}: its folder holds no status.json."


def _planned(record: RunRecord) -> int:
    return sum(int(phase.get("rounds", 0)) for phase in record.experiment.get("phases", {}).values())


def _took(record: RunRecord) -> str:
    times = [moment for event in record.events if (moment := finite(event.get("time"))) is not None]
    if len(times) < 2:
        return ""
    begun = datetime.fromtimestamp(times[0], UTC)
    # A run that was resumed stood still in between.
    resumed = any(event.get("event") == "resumed" for event in record.events)
    spent = write_seconds(times[-1] - times[0]) + (", pauses included" if resumed else "")
    return f", in {spent}, begun {begun:%d %B %Y, %H:%M} UTC"


def _trained(record: RunRecord) -> str:
    plan = record.experiment
    if not plan:
        return "Its experiment is not told."
    kind = _IMAGES.get(str(plan.get("modality")), str(plan.get("modality")))
    phases = [
        f"{name} ({phase['rounds']} rounds of {phase['steps']} steps)"
        for name in ("pretrain", "enhance", "cooperate")
        if (phase := plan.get("phases", {}).get(name)) and phase.get("rounds")
    ]
    planned = "" if record.state == "completed" else "planned were "
    count = len(record.sites)
    sites = f"{count} site{'' if count == 1 else 's'}" + (f" ({', '.join(record.sites)})" if count else "")
    personal = _is_personal(plan)
    whose = " Each site has a model of its own: a part of it never left the site." if personal else ""
    what = _what_was_trained(plan, kind, shared=personal is False)
    return (
        f"{sites} trained {what}, at {plan.get('image_size')} pixels; {planned}{', '.join(phases)}. "
        f"No image left a site.{whose}"
    )


def _what_was_trained(plan: Json, kind: str, *, shared: bool) -> str:
    method = str(plan.get("method", "hqgnet"))
    name = _METHODS.get(method, method)
    if method in CLASSICAL_METHODS:
        return f"{'one' if shared else 'a'} downstream network together on {kind} enhanced by {name}"
    return f"{'one' if shared else 'an'} enhancer of {kind} together: {name}, preset {plan.get('preset')}"


def _is_personal(plan: Json) -> bool | None:
    """Whether a part of the model stays at each site; None where this version cannot read the experiment."""
    try:
        return has_personal_model(validate_mapping(plan, Experiment, "experiment.json"))
    except ConfigurationError:
        return None


def _result(record: RunRecord) -> str:
    mean = (record.table or {}).get("site_mean", {})
    figures = [figure for figure in present([mean], main=True) if figure.better != "neither"]
    told: dict[Basis, list[str]] = {}
    for figure in figures[:3]:
        if text := _moved(figure, mean):
            told.setdefault(basis(record.table or {}, figure), []).append(text)
    said = "; ".join(f"{_on(of)}, {_joined(texts)}" for of, texts in told.items())
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _on(of: Basis) -> str:
    images = f"{of.images} test image{'' if of.images == 1 else 's'}"
    mean = ", mean over sites" if len(of.sites) > 1 else ""
    return f"on {images} at {len(of.sites)} of {of.judged} site{'' if of.judged == 1 else 's'}{mean}"


def _joined(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _moved(figure: Figure, mean: dict[str, object]) -> str:
    before, after = mean.get(f"{figure.name}_original"), mean.get(f"{figure.name}_enhanced")
    change = difference(after, before)
    if change is None:
        return ""
    unit = f" {figure.unit}" if figure.unit else ""
    first, last = write(before, figure.decimals), write(after, figure.decimals)
    if figure.tone(change) == "same":
        return f"{figure.title} stayed about {last}{unit}"
    verb = "rose" if change > 0 else "fell"
    return f"{figure.title} {verb} from {first} to {last}{unit} ({write_change(change, figure.decimals)})"
