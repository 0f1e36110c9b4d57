"""From sets of guides to single guides: which images, with which noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hqgnet.data.image_folders import find_images
from hqgnet.data.reading import read_image
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from hqgnet.data.transforms import resize_longer_side
from hqgnet.errors import DataError, ModelFileError, Problem
from hqgnet.model_file import Model
from hqgnet.robustness.noise import NOISES, STRENGTHS, Noise, add_noise, random_source
from hqgnet.robustness.specs import Spec

MOST_GUIDES = 32
DRAWS = 5
"""Drawings of a noise of one strength."""
_TEN = 10
_TITLES = {"all": "all HQ images", "ten": "ten HQ images", "one": "one fixed HQ image", "lq": "LQ images"}


@dataclass(frozen=True)
class Guide:
    """One guide.

    Attributes:
        path: Its image; None: the cue that is stored in the model file.
        noise: Added to it; None: nothing.
        strength: Of the noise.
        draw: Number of the noise's drawing.
    """

    path: Path | None
    noise: Noise | None = None
    strength: float = 0.0
    draw: int = 0


@dataclass(frozen=True)
class Condition:
    """A set of guides, each used in turn for all images: a row of the table.

    Attributes:
        name: For programs: ``all``, ``gaussian``, ``other:<site>``.
        title: For readers.
        guides: At least one.
        strength: Of noise; None without.
        note: What a reader must know; may be empty.
    """

    name: str
    title: str
    guides: tuple[Guide, ...]
    strength: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """How guides are drawn.

    Attributes:
        strengths: Of noise.
        seed: Of every draw.
        most: Images of a set that are used at most.
    """

    strengths: tuple[float, ...] = STRENGTHS
    seed: int = 0
    most: int = MOST_GUIDES


def fixed_guide(data: SiteData) -> Guide:
    """Return the site's fixed guide, its first HQ test image, or training image where it has no test images.

    Where ``ablation.guidance_pool`` is ``one``, it is the guide of the site's headline figures
    (:func:`hqgnet.guidance.site_guidance`); else these take a pool, of which it is the first.

    Raises:
        DataError: If the site has no HQ image.
    """
    images = _hq(data)
    if not images:
        where, what = f"site {data.config.name}: images.hq", "there is no HQ image to compare guides with"
        raise DataError(Problem(where, what, "Take a site that has some; other guides are held against it"))
    return Guide(images[0])


def gather(specs: Sequence[Spec], data: SiteData, model: Model, plan: Plan) -> list[Condition]:
    """Return the conditions in the order of their specs.

    Raises:
        ConfigurationError: If another site's file cannot be used.
        DataError: If another site's images, or a folder's, cannot be used.
        ModelFileError: If the stored cue is asked for and there is none.
    """
    return [condition for spec in specs for condition in _conditions(spec, data, model, plan)]


def _conditions(spec: Spec, data: SiteData, model: Model, plan: Plan) -> Iterator[Condition]:
    fixed = fixed_guide(data)
    if spec.kind in NOISES:
        noise = next(known for known in NOISES if known == spec.kind)
        assert fixed.path is not None
        for strength in plan.strengths:
            drawn = tuple(Guide(fixed.path, noise, strength, draw) for draw in range(DRAWS))
            yield Condition(noise, f"the fixed one, {noise} {strength:g}", drawn, strength, _pool_note(model))
    elif spec.kind == "stored":
        if model.guidance is not None:
            yield Condition("stored", "the cue stored in the model", (Guide(None),))
        elif not spec.by_paper:
            remedy = "Leave --guides stored out, or take a model of a run whose sites share their cue"
            raise ModelFileError(Problem("the model file", "holds no cue", remedy))
    elif spec.kind == "one":
        yield Condition("one", _TITLES["one"], (fixed,), note=_pool_note(model))
    else:
        count = _TEN if spec.kind == "ten" else plan.most
        name, title, pool = _pool(spec, data)
        guides = tuple(Guide(path) for path in drawn_of(pool, count, plan.seed))
        yield Condition(name, title, guides, note=_note(title, len(guides), len(pool), plan.seed))


def _pool(spec: Spec, data: SiteData) -> tuple[str, str, list[Path]]:
    """Return name, title and images of a set."""
    if spec.kind in ("all", "ten"):
        return spec.kind, _TITLES[spec.kind], _hq(data)
    if spec.kind == "lq":
        return "lq", _TITLES["lq"], _lq(data)
    assert spec.place is not None
    if spec.kind == "folder":
        images = find_images(spec.place, f"--guides folder:{spec.place}")
        return f"folder:{spec.place.name}", f"images of folder {spec.place.name}", images
    other = SiteData.open(load_site_config(spec.place))
    quality, pool = ("HQ", _hq(other)) if spec.kind == "other" else ("LQ", _lq(other))
    who = f"{other.config.name} ({other.config.modality})"
    return f"{spec.kind}:{other.config.name}", f"{quality} images of {who}", pool


def _hq(data: SiteData) -> list[Path]:
    return [sample.path for sample in data.hq["test"] or data.hq["train"]]


def _lq(data: SiteData) -> list[Path]:
    return [sample.path for sample in data.lq["test"] or data.lq["train"]]


def drawn_of(pool: Sequence[Path], count: int, seed: int) -> list[Path]:
    """Return ``count`` images of a pool, or all, in random order: fewer are the first of more."""
    order = random_source(seed, "guides").permutation(len(pool))
    return [pool[index] for index in order[:count]]


def _note(title: str, used: int, there: int, seed: int) -> str:
    if used < there:
        return f"{title}: {used} of {there}, drawn by seed {seed}"
    return f"{title}: there are only {there}" if title == _TITLES["ten"] and there < _TEN else ""


def _pool_note(model: Model) -> str:
    """Return how the headline figures are guided where it is not by the fixed guide; else nothing."""
    pool = model.experiment.ablation.guidance_pool
    if pool == "one":
        return ""
    without = f"without --guides, each LQ image has one of {_TITLES[pool]}"
    return f"{_TITLES['one']}: {without} (ablation.guidance_pool is {pool})"


@torch.inference_mode()
def vectors_of(guides: Sequence[Guide], model: Model, device: torch.device, seed: int) -> dict[Guide, Tensor]:
    """Return v_z ``(1, 64)`` of every guide.

    Noise is added at the size at which the network sees the guide: added to a larger image, it would vanish
    in the resizing.

    Args:
        guides: Which.
        model: Guided, and in evaluation mode.
        device: The model's.
        seed: Of noise.

    Raises:
        DataError: If an image cannot be read.
    """
    size, channels = model.experiment.image_size, model.experiment.channels
    small: dict[Path, Tensor] = {}
    vectors: dict[Guide, Tensor] = {}
    for guide in guides:
        if guide.path is None:
            assert model.guidance is not None
            vectors[guide] = model.guidance
            continue
        image = small.get(guide.path)
        if image is None:
            image = resize_longer_side(read_image(guide.path, channels), size)
        if guide.noise is not None:
            small[guide.path] = image  # it will be asked for again, with other noise
            image = add_noise(
                image, guide.noise, guide.strength, random_source(seed, guide.noise, guide.draw)
            )
        described = model.networks.describe(image.unsqueeze(0).to(device))
        assert described is not None
        vectors[guide] = described.float()
    return vectors
