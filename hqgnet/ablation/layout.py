"""A table as text, in the paper's layout: ours, and the paper's figure beside or below it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from hqgnet.ablation.judging import NOISE_MARK, counted_by
from hqgnet.ablation.results import Cell, Finished, cell_of, is_trained, metrics_in
from hqgnet.ablation.tables import Judges, Row, Table
from hqgnet.config import Modality
from hqgnet.metrics.names import IMAGE_METRICS

_MISSING = "n/a"
_NO_GAP = (math.inf, "")
_LEVELS = range(4)

_TITLES = {
    "psnr": ("PSNR ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "average_gradient": ("AG ↑", 2),
    "entropy": ("EN ↑", 2),
    **{f"snr_{radius}": (f"SNR_{radius} ↑", 2) for radius in (3, 5, 7, 9)},
    "s_hq": ("S_HQ ↑", 2),
    "piqe": ("PIQE ↓", 2),
    "niqe": ("NIQE ↓", 2),
    "brisque": ("BRISQUE ↓", 2),
    "auc_image": ("AUC ↑", 3),
    "acc_image": ("ACC ↑", 3),
    "sen_image": ("SEN ↑", 3),
    "dice_image": ("Dice ↑", 3),
    "g_mean_image": ("G Mean ↑", 3),
    "auc": ("AUC pooled", 3),
    "acc": ("ACC pooled", 3),
    "sen": ("SEN pooled", 3),
    "dice": ("Dice pooled", 3),
    "g_mean": ("G Mean pooled", 3),
    "grade_acc": ("ACC ↑", 3),
    "grade_f1": ("F1 ↑", 3),
    **{f"grade_acc_{level}": (f"ACC, Level {level + 1} ↑", 3) for level in _LEVELS},
    **{f"grade_f1_{level}": (f"F1, Level {level + 1} ↑", 3) for level in _LEVELS},
}
"""Title and decimals of the figures that a table tells; the files hold all."""

_OTHERS: dict[Judges, tuple[str, ...]] = {
    "images": IMAGE_METRICS,
    "segmentation": ("auc", "acc", "sen", "dice", "g_mean"),
    "grading": ("grade_acc", "grade_f1"),
}
"""Told below the paper's, where they are known."""


def table_text(
    table: Table, modality: Modality, rows: Mapping[Row, Sequence[Finished]], head: Sequence[str]
) -> str:
    """Return the table.

    Args:
        table: Which.
        modality: Of the images: chooses the paper's metrics and cells.
        rows: What is finished, by row.
        head: Said above it.
    """
    ours = metrics_in(rows)
    wanted = table.metrics[modality]
    noisy = [name for name in ours if NOISE_MARK in name]
    others = [name for name in ours if name in _OTHERS[table.judges] and name not in wanted]
    blocks = [[*wanted, *noisy], others]
    draw = _beside if table.across == "metrics" else _below
    lines = [
        f"Table {table.name}: {table.caption}" if not table.noises else f"{table.name}: {table.caption}",
        *head,
    ]
    for names in blocks:
        if names and rows:
            lines += ["", *_ruled(draw(table, modality, rows, names))]
    return "\n".join([*lines, *_gaps(rows, wanted)]) + "\n"


def _gaps(rows: Mapping[Row, Sequence[Finished]], names: Sequence[str]) -> Iterator[str]:
    """Say of how few images a figure is, where it is not of all of them: its mean is not the others'."""
    for name in names:
        told: dict[tuple[int, str], list[str]] = {}
        for row, found in rows.items():
            counted, why = min(finished.verdict.gaps.get(counted_by(name), _NO_GAP) for finished in found)
            if why:
                told.setdefault((int(counted), why), []).append(row.title)
        for (counted, why), titles in told.items():
            yield f"{_title(name)}: of {counted} images ({why}): {', '.join(titles)}"


def _row_titles(rows: Mapping[Row, Sequence[Finished]]) -> dict[Row, str]:
    """Return the titles; beside that of a row that lacks seeds of the table, how many it has."""
    seeds = {finished.seed for found in rows.values() for finished in found}
    return {
        row: f"{row.title} ({len(found)} of {len(seeds)} seeds)"
        if is_trained(found) and len(found) < len(seeds)
        else row.title
        for row, found in rows.items()
    }


def _beside(
    table: Table, modality: Modality, rows: Mapping[Row, Sequence[Finished]], names: Sequence[str]
) -> list[list[str]]:
    """Rows as in Table III: a line a method; the paper's figure to the right of ours."""
    told = {name: any(table.cell(modality, name, row) for row in table.rows) for name in names}
    header = ["Methods"]
    for name in names:
        header += [_title(name), "paper"] if told[name] else [_title(name)]
    lines, titles = [header], _row_titles(rows)
    for row, found in rows.items():
        line = [titles[row]]
        for name in names:
            line.append(_write(cell_of(row, found, name), name))
            line += [table.cell(modality, name, row)] if told[name] else []
        lines.append(line)
    return lines


def _below(
    table: Table, modality: Modality, rows: Mapping[Row, Sequence[Finished]], names: Sequence[str]
) -> list[list[str]]:
    """Rows as in Table V: a column a row of ours; the paper's figures in the line below."""
    lines = [["Metrics", "", *_row_titles(rows).values()]]
    for name in names:
        cells = [table.cell(modality, name, row) for row in rows]
        ours = (_write(cell_of(row, found, name), name) for row, found in rows.items())
        lines.append([_title(name), "ours", *ours])
        lines += [["", "paper", *cells]] if any(cells) else []
    return lines


def _title(name: str) -> str:
    metric, _, noise = name.partition(NOISE_MARK)
    title = _TITLES[metric][0]
    return f"{title} {noise}" if noise else title


def _write(cell: Cell, name: str) -> str:
    decimals = _TITLES[name.partition(NOISE_MARK)[0]][1]
    if cell.mean is None:
        return _MISSING
    text = f"{cell.mean:.{decimals}f}"
    return text if cell.standard_deviation is None else f"{text} ± {cell.standard_deviation:.{decimals}f}"


def _ruled(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, drawn))
    return [rule, drawn[0], rule, *drawn[1:], rule]
