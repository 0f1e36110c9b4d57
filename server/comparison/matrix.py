"""From per-image figures to the model x site matrix, with bootstrap intervals over images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from hqgnet.metrics.names import LOWER_IS_BETTER
from hqgnet.report.figures import figure
from server.comparison.figures import is_downstream
from server.comparison.judging import ORIGINAL, Value

DRAWS = 2000
_CONFIDENCE = 95.0
_FEWEST_IMAGES = 2
Images = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval.

    Attributes:
        mean: Over images; over seeds first.
        low: 2.5th percentile of the bootstrap's means; None where a site has fewer than two images: drawn
            from one alone, all means are the same.
        high: 97.5th percentile, likewise.
        images: How many images have the figure.
    """

    mean: float
    low: float | None
    high: float | None
    images: int


@dataclass(frozen=True)
class Difference(Estimate):
    """By how much one model's mean over sites lies above another's, of the same images.

    Attributes:
        seeds: The same of each seed alone that both have.
    """

    seeds: Mapping[int, float]

    @property
    def is_clear(self) -> bool:
        """Whether the interval, which is over images, leaves out 0, and every seed is on the same side of it.

        Training with an adversary ends elsewhere with another seed; no interval over images knows of that.
        Where there is no interval, nothing is clear.
        """
        if self.low is None or self.high is None:
            return False
        return not self.low <= 0 <= self.high and len({seed > 0 for seed in self.seeds.values()}) == 1


@dataclass(frozen=True)
class Matrix:
    """One figure of all models at all sites.

    Attributes:
        metric: Which figure.
        cells: By model and site; a pair without any figure is absent.
        mean: By model: mean over sites.
        worst: By model: name of the worst site, and its mean.
        seeds: By model: mean over sites of each seed that the model has.
    """

    metric: str
    cells: Mapping[tuple[str, str], Estimate]
    mean: Mapping[str, Estimate]
    worst: Mapping[str, tuple[str, float]]
    seeds: Mapping[str, Mapping[int, float]]


def build_matrix(values: Sequence[Value], metric: str, *, draws: int = DRAWS) -> Matrix:
    """Return the matrix of one figure.

    The bootstrap draws images within each site, with replacement, the same draw for all models, so that two
    models' intervals belong to the same samples of images; an image's figure is its mean over seeds first.
    Its draws come from a fixed seed: the same values give the same intervals.

    Args:
        values: Per-image figures; those of other metrics are passed over.
        metric: Which figure; the worst site is the one with the lowest, of NIQE and the like the highest.
        draws: Bootstrap samples.
    """
    images = per_image(values, metric)
    arrays = {pair: np.array(list(figures.values())) for pair, figures in images.items()}
    resampled = {pair: _resampled(array, pair[1], draws) for pair, array in arrays.items()}
    cells = {
        pair: Estimate(float(array.mean()), *_interval(resampled[pair], [array]), len(array))
        for pair, array in arrays.items()
    }
    mean, worst, seeds = {}, {}, {}
    for model in dict.fromkeys(model for model, _ in images):
        pairs = [pair for pair in images if pair[0] == model]
        drawn = np.mean([resampled[pair] for pair in pairs], axis=0)
        low, high = _interval(drawn, [arrays[pair] for pair in pairs])
        whole = float(np.mean([cells[pair].mean for pair in pairs]))
        mean[model] = Estimate(whole, low, high, sum(cells[pair].images for pair in pairs))
        worst_of = max if metric in LOWER_IS_BETTER else min
        worst[model] = worst_of(((site, cells[(model, site)].mean) for _, site in pairs), key=itemgetter(1))
        seeds[model] = _seed_means([value for value in values if value.model == model], metric)
    return Matrix(metric, cells, mean, worst, seeds)


def per_image(values: Iterable[Value], metric: str) -> dict[tuple[str, str], dict[int, float]]:
    """Return a figure by model and site, then image in order of numbers; its mean over seeds."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for value in values:
        if value.metric == metric and value.value is not None:
            images = found.setdefault((value.model, value.site), {})
            images.setdefault(value.image, []).append(value.value)
    return {
        pair: {image: float(np.mean(images[image])) for image in sorted(images)}
        for pair, images in found.items()
    }


@dataclass(frozen=True)
class Verdict:
    """What the matrix says of federating.

    Attributes:
        sites: Sites that have the figure for the federation and for themselves alone.
        better: Those at which the federated model beats the site's own.
        clearly: Those of them at which the difference is clear of 0 (:attr:`Difference.is_clear`).
        kept: Share of the pooled model's gain over the originals that the federation keeps, mean over sites;
            None without a pooled gain that the figure's decimals show, and for figures of the downstream
            network: every model brings its own, so there is no one figure of the originals that all gains
            begin at.
        kept_over_alone: The same over the sites' own models.
    """

    sites: tuple[str, ...]
    better: tuple[str, ...]
    clearly: tuple[str, ...]
    kept: float | None
    kept_over_alone: float | None


def verdict(values: Sequence[Value], matrix: Matrix, *, draws: int = DRAWS) -> Verdict:
    """Compare federated, alone and pooled, site by site."""
    sites = sorted(
        site
        for model, site in matrix.cells
        if model == "federated" and (f"alone {site}", site) in matrix.cells
    )
    sign = -1.0 if matrix.metric in LOWER_IS_BETTER else 1.0
    better, clearly = [], []
    for site in sites:
        own = f"alone {site}"
        both = [value for value in values if value.site == site and value.model in ("federated", own)]
        found = differences(both, matrix.metric, own, draws=draws).get("federated")
        if found is not None and sign * found.mean > 0:
            better.append(site)
            clearly += [site] if found.is_clear else []

    def total(model: str) -> float | None:
        found = [matrix.cells.get((model.format(site=site), site)) for site in sites]
        means = [estimate.mean for estimate in found if estimate is not None]
        return sign * float(np.mean(means)) if sites and len(means) == len(sites) else None

    federation, pooled = total("federated"), total("pooled")
    decimals = figure(matrix.metric).decimals
    return Verdict(
        tuple(sites),
        tuple(better),
        tuple(clearly),
        None if is_downstream(matrix.metric) else _share(federation, pooled, total(ORIGINAL), decimals),
        _share(federation, pooled, total("alone {site}"), decimals),
    )


def differences(
    values: Sequence[Value], metric: str, base: str, *, draws: int = DRAWS
) -> dict[str, Difference]:
    """Return by how much each model's mean over sites lies above that of ``base``, of the same images.

    Only seeds, sites and images that have the figure for both count. A model of other sites than ``base`` is
    absent.
    """
    by_seed = {
        seed: per_image((value for value in values if value.seed == seed), metric)
        for seed in sorted({value.seed for value in values})
    }
    found = {}
    for model in dict.fromkeys(value.model for value in values if value.model not in (base, ORIGINAL)):
        of_seeds = {
            seed: paired for seed, figures in by_seed.items() if (paired := _paired(figures, model, base))
        }
        if not of_seeds:
            continue
        pairs = _mean_over_seeds(list(of_seeds.values()))
        drawn = np.mean([_resampled(change, site, draws) for site, change in pairs.items()], axis=0)
        seeds = {seed: _mean_over_sites(_mean_over_seeds([one])) for seed, one in of_seeds.items()}
        count = sum(map(len, pairs.values()))
        interval = _interval(drawn, pairs.values())
        found[model] = Difference(_mean_over_sites(pairs), *interval, count, seeds)
    return found


def _paired(
    images: Mapping[tuple[str, str], Mapping[int, float]], model: str, base: str
) -> dict[tuple[str, int], float]:
    """Return, by site and image, the figure of ``model`` less that of ``base``, where it has both."""
    return {
        (site, image): mine - images[(base, site)][image]
        for (of, site), figures in images.items()
        if of == model and (base, site) in images
        for image, mine in figures.items()
        if image in images[(base, site)]
    }


def _mean_over_seeds(of_seeds: Sequence[Mapping[tuple[str, int], float]]) -> dict[str, Images]:
    """Return each site's changes, image by image, each its mean over the seeds that have it."""
    found: dict[str, list[float]] = {}
    for site, image in sorted({place for pairs in of_seeds for place in pairs}):
        changes = [pairs[(site, image)] for pairs in of_seeds if (site, image) in pairs]
        found.setdefault(site, []).append(float(np.mean(changes)))
    return {site: np.array(changes) for site, changes in found.items()}


def _mean_over_sites(pairs: Mapping[str, Images]) -> float:
    return float(np.mean([change.mean() for change in pairs.values()]))


def _share(federated: float | None, pooled: float | None, base: float | None, decimals: int) -> float | None:
    if federated is None or pooled is None or base is None:
        return None
    # A gain that is written as 0.00 is noise: shares of it are of any size.
    if round(pooled - base, decimals) <= 0:
        return None
    return (federated - base) / (pooled - base)


def _seed_means(values: Sequence[Value], metric: str) -> dict[int, float]:
    """Mean over sites of each seed alone that has the figure, in the order of seeds."""
    means = {}
    for seed in sorted({value.seed for value in values}):
        images = per_image((value for value in values if value.seed == seed), metric)
        if images:
            means[seed] = float(np.mean([np.mean(list(figures.values())) for figures in images.values()]))
    return means


def _resampled(images: Images, site: str, draws: int) -> Images:
    # Seeded by the site: all models see the same draw of its images.
    generator = np.random.default_rng(list(site.encode()))
    chosen = generator.integers(len(images), size=(draws, len(images)))
    return np.asarray(images[chosen].mean(axis=1))


def _interval(resampled: Images, sites: Iterable[Images]) -> tuple[float | None, float | None]:
    """Return the ends of the interval, or none where a site's images are too few to draw from.

    Args:
        resampled: The bootstrap's means.
        sites: The figures that each was drawn from.
    """
    if any(len(images) < _FEWEST_IMAGES for images in sites):
        return None, None
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)
