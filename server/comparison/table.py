"""The matrix and what it says, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hqgnet.report.figures import NOT_AVAILABLE
from server.comparison.judging import ORIGINAL
from server.comparison.matrix import Difference, Estimate, Matrix, Verdict
from server.results import Column

_NO_INTERVAL = f"[{NOT_AVAILABLE}]: no interval, since a site has one image alone with this figure"


def matrix_text(matrix: Matrix, sites: Sequence[str], column: Column, notes: Sequence[str] = ()) -> str:
    """Return the model x site matrix: mean and 95 % interval over images, mean over sites, worst site.

    Of several seeds each one's mean over sites too, ``n/a`` where a model was not trained with one.

    Args:
        matrix: The figures.
        sites: Their order.
        column: How the figure is called and written.
        notes: Lines below.
    """
    decimals = column.decimals
    all_seeds = sorted({seed for means in matrix.seeds.values() for seed in means})
    of_seeds = [f"seeds {', '.join(map(str, all_seeds))}"] if len(all_seeds) > 1 else []
    header = ["model", *sites, "mean over sites", *of_seeds, "worst site"]
    lines = [header]
    for model in sorted(matrix.mean, key=lambda name: name != ORIGINAL):
        line = [model]
        for site in sites:
            found = matrix.cells.get((model, site))
            line.append(_interval(found, decimals) if found else NOT_AVAILABLE)
        total, (site, worst) = matrix.mean[model], matrix.worst[model]
        line.append(_interval(total, decimals))
        line += [_listed(matrix.seeds[model], all_seeds, decimals)] if of_seeds else []
        line.append(f"{worst:z.{decimals}f} ({site})")
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    drawn = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    rule = "-" * max(map(len, drawn))
    title = f"{column.title} ({matrix.metric})"
    unsure = any(found.low is None for found in (*matrix.cells.values(), *matrix.mean.values()))
    below = [_NO_INTERVAL, *notes] if unsure else notes
    return "\n".join([title, rule, drawn[0], rule, *drawn[1:], *below])


def verdict_text(verdict: Verdict, metric: str) -> str:
    """Return the answer to the consortium's question in words."""
    if not verdict.sites:
        return f"{metric}: no site has this figure for its own model and for the federation"
    better = ", ".join(verdict.better) or "none"
    text = (
        f"{metric}: the federation beats the site's own model at {len(verdict.better)} of "
        f"{len(verdict.sites)} sites ({better}), at {len(verdict.clearly)} clear of 0"
    )
    for share, over in ((verdict.kept, "over the originals"), (verdict.kept_over_alone, "over sites alone")):
        if share is not None and share > 0:
            text += f"; it keeps {share:.0%} of the pooled model's gain {over}"
        elif share is not None:
            text += f"; it keeps nothing of the pooled model's gain {over}, and falls behind them"
    return text


def differences_text(
    changes: Mapping[str, Difference], base: str, decimals: int, seeds: Sequence[int]
) -> str:
    """Return each model's difference from ``base``, and which is clear of 0 (:attr:`Difference.is_clear`).

    Args:
        changes: By model.
        base: Whom they are from.
        decimals: Written.
        seeds: Of the comparison; of several each one's difference is told, ``n/a`` where there is none.
    """
    lines = []
    for model, found in changes.items():
        line = f"{model} less {base}: {_interval(found, decimals)}"
        if len(seeds) > 1:
            line += f", of each seed {_listed(found.seeds, seeds, decimals, sign='+')}"
        lines.append(line + (", clear of 0" if found.is_clear else ""))
    return "\n".join(lines)


def _listed(figures: Mapping[int, float], seeds: Sequence[int], decimals: int, sign: str = "") -> str:
    return ", ".join(
        f"{figures[seed]:{sign}z.{decimals}f}" if seed in figures else NOT_AVAILABLE for seed in seeds
    )


def _interval(found: Estimate, decimals: int) -> str:
    # z: no minus before a zero.
    if found.low is None or found.high is None:
        return f"{found.mean:z.{decimals}f} [{NOT_AVAILABLE}]"
    return f"{found.mean:z.{decimals}f} [{found.low:z.{decimals}f}, {found.high:z.{decimals}f}]"
