"""The matrix and what it says, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.comparison.judging import ORIGINAL
from server.comparison.matrix import Difference, Matrix, Verdict


def matrix_text(matrix: Matrix, sites: Sequence[str], decimals: int) -> str:
    """Return the model x site matrix: mean and 95 % interval over images, mean over sites, worst site.

    Of several seeds each one's mean over sites too.
    """
    several = max(map(len, matrix.seeds.values()), default=0) > 1
    header = ["model", *sites, "mean over sites", *(["of each seed"] if several else []), "worst site"]
    lines = [header]
    for model in sorted(matrix.mean, key=lambda name: name != ORIGINAL):
        line = [model]
        for site in sites:
            found = matrix.cells.get((model, site))
            line.append("n/a" if found is None else _interval(found.mean, found.low, found.high, decimals))
        total, (site, worst) = matrix.mean[model], matrix.worst[model]
        line.append(_interval(total.mean, total.low, total.high, decimals))
        line += [_listed(matrix.seeds[model], decimals)] if several else []
        line.append(f"{worst:.{decimals}f} ({site})")
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    drawn = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    rule = "-" * max(map(len, drawn))
    return "\n".join([matrix.metric, rule, drawn[0], rule, *drawn[1:]])


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


def differences_text(changes: Mapping[str, Difference], base: str, decimals: int) -> str:
    """Return each model's difference from ``base``, and which is clear of 0 (:attr:`Difference.is_clear`)."""
    lines = []
    for model, found in changes.items():
        line = f"{model} less {base}: {_interval(found.mean, found.low, found.high, decimals)}"
        if len(found.seeds) > 1:
            line += f", of each seed {_listed(found.seeds, decimals, sign='+')}"
        lines.append(line + (", clear of 0" if found.is_clear else ""))
    return "\n".join(lines)


def _listed(figures: Sequence[float], decimals: int, sign: str = "") -> str:
    return ", ".join(f"{figure:{sign}.{decimals}f}" for figure in figures)


def _interval(mean: float, low: float, high: float, decimals: int) -> str:
    return f"{mean:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"
