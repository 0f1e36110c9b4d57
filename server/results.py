"""The final table: every site's test images, original against enhanced, and the mean over sites."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hqgnet.config import Experiment
from hqgnet.files import write_atomically
from hqgnet.metrics.names import GRADING, QUALITY_AUC, SEGMENTATION
from hqgnet.scores import Row
from server.evaluation import Judgement
from server.run_directory import RunDirectory

_MEAN = "site mean"


@dataclass(frozen=True)
class Column:
    """One figure of the table: name in the rows, title, decimals, and whether the gain is shown beside it."""

    metric: str
    title: str
    decimals: int
    gain: bool = False


COLUMNS = (
    Column("psnr", "PSNR dB", 2, gain=True),
    Column("ssim", "SSIM", 3),
    Column("average_gradient", "AG", 2),
    Column("entropy", "EN", 2),
    Column("snr_3", "SNR_3 dB", 2),
    Column("s_hq", "S_HQ", 3),
    Column("piqe", "PIQE", 1),
    Column("niqe", "NIQE", 2),
    Column("brisque", "BRISQUE", 1),
    Column("dice", "Dice", 3),
    Column("auc", "AUC", 3),
    Column("grade_acc", "ACC", 3),
    Column("grade_f1", "F1", 3),
)
_COUNTED_BY = {"dice": SEGMENTATION, "auc": SEGMENTATION, "grade_acc": GRADING, "grade_f1": GRADING}


def write_table(directory: RunDirectory, experiment: Experiment, judgement: Judgement) -> str:
    """Write ``table.txt`` and ``table.json``; return the text.

    Raises:
        OutputError: If they cannot be written.
    """
    text = table_text(experiment, judgement)
    data = {
        "experiment": experiment.name,
        "seed": experiment.seed,
        "model": {"phase": judgement.phase, "round": judgement.round},
        "split": judgement.split,
        "sites": judgement.rows,
        "site_mean": judgement.mean,
        "sites_behind": judgement.sites_behind,
        "pooled": judgement.pooled,
        "gaps": {
            site: {metric: asdict(gap) for metric, gap in gaps.items()}
            for site, gaps in judgement.gaps.items()
        },
        "notes": table_notes(judgement),
        "failed": judgement.failed,
    }
    directory.write_json("table.json", data)
    write_atomically(directory.root / "table.txt", (text + "\n").encode())
    return text


def table_text(experiment: Experiment, judgement: Judgement) -> str:
    """Return the table as plain text: ``original -> enhanced`` in every cell."""
    rows = {**judgement.rows, _MEAN: judgement.mean}
    columns = _columns(judgement)
    lines = [["site", "images", *(column.title for column in columns)]]
    for name, row in rows.items():
        lines.append([name, f"{row.get('images') or 0:.0f}", *(_cell(row, column) for column in columns)])
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    rule = "-" * max(len(line) for line in drawn)
    title = (
        f"{experiment.name}: {judgement.split} images, original -> enhanced, "
        f"best model of round {judgement.round} in {judgement.phase}"
    )
    failed = [f"Not judged: {site} ({code})" for site, code in sorted(judgement.failed.items())]
    lines_below = [*table_notes(judgement), *failed]
    return "\n".join([title, rule, drawn[0], rule, *drawn[1:-1], rule, drawn[-1], *lines_below])


def table_notes(judgement: Judgement) -> list[str]:
    """Return why cells of the table have no figure, and how far S_HQ is to be trusted."""
    notes = []
    for column in _columns(judgement):
        told: dict[str, list[str]] = {}
        for site, gaps in judgement.gaps.items():
            gap = gaps.get(_COUNTED_BY.get(column.metric, column.metric))
            if gap is not None:
                has = f" (but for {gap.counted} of {judgement.rows[site].get('images') or 0:.0f} images)"
                told.setdefault(gap.text, []).append(site + (has if gap.counted else ""))
        notes += [f"{column.title} n/a at {', '.join(sites)}: {why}" for why, sites in told.items()]
    auc = {site: row[QUALITY_AUC] for site, row in judgement.rows.items() if row.get(QUALITY_AUC) is not None}
    if auc:
        figures = ", ".join(f"{site} {value:.2f}" for site, value in auc.items())
        notes.append(f"S_HQ by each site's own classifier; its AUC on images it has not seen: {figures}")
    return notes


def _columns(judgement: Judgement) -> list[Column]:
    rows = [*judgement.rows.values(), judgement.mean]
    return [column for column in COLUMNS if any(_has(row, column) for row in rows)]


def _has(row: Row, column: Column) -> bool:
    return row.get(f"{column.metric}_enhanced") is not None


def _cell(row: Row, column: Column) -> str:
    original, enhanced = row.get(f"{column.metric}_original"), row.get(f"{column.metric}_enhanced")
    if original is None or enhanced is None:
        return "n/a"
    places = column.decimals
    # z: no minus before a zero.
    gain = f" ({enhanced - original:+z.{places}f})" if column.gain else ""
    return f"{original:z.{places}f} -> {enhanced:z.{places}f}{gain}"
