"""``hqgnet-server compare``: train every cell once, judge every model everywhere, and say what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from hqgnet.config import Experiment
from hqgnet.data.digest import content_digest
from hqgnet.data.site_config import SiteConfig
from hqgnet.data.site_data import SiteData
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.exchange.groups import has_personal_model
from hqgnet.files import write_atomically
from hqgnet.report.figures import figure
from server.comparison.cells import Cell, finished, plan, seeds_in
from server.comparison.claim import claimed, write_claim
from server.comparison.figures import COLUMNS, notes
from server.comparison.gathering import gathered
from server.comparison.judging import Value, judge_model, write_values
from server.comparison.matrix import Matrix, build_matrix, differences, verdict
from server.comparison.table import differences_text, matrix_text, verdict_text
from server.comparison.training import total_steps, train_cell
from server.comparison.variants import read_variants, write_variants
from server.display import Display
from server.run_directory import RunDirectory
from server.simulation import Simulation, check_files, check_images, find_sites, simulate

Say = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What is asked for.

    Attributes:
        experiment: YAML file.
        sites: Glob pattern of site files.
        out: Where models, figures and tables go; what is there already is not made again.
        seeds: As many trainings of each cell.
        finetune_steps: Local steps of the fine-tuning; None: a tenth of the experiment's.
        workers: Cells trained at a time, each with one thread; sites trained at a time in the federation.
        variants: YAML file of variants of the experiment: the federation under each of them is compared, and
            nothing else; None: sites alone, pooled, federated, fine-tuned.
    """

    experiment: Path
    sites: str
    out: Path
    seeds: tuple[int, ...]
    finetune_steps: int | None = None
    workers: int = 1
    variants: Path | None = None


def compare(comparison: Comparison, say: Say, display: Callable[[], Display]) -> None:
    """Train what is not trained yet, judge, and write ``values.csv``, ``comparison.json`` and ``.txt``.

    These are of all finished models of the folder, those of earlier calls included.

    Args:
        comparison: What to do.
        say: Told of each cell, and the tables.
        display: Shows a federation's progress.

    Raises:
        ConfigurationError: If files do not fit together, or ``out`` holds a comparison of something else.
        DataError: If a site's images cannot be used.
        RunFailedError: If a federation ends without a result.
    """
    files = find_sites(comparison.sites)
    experiment, configs = check_files(comparison.experiment, files)
    check_images(configs)
    if comparison.variants is None:
        _refuse_poor(configs)
    by_name = {config.name: file for config, file in zip(configs, files, strict=True)}
    steps = comparison.finetune_steps or max(1, total_steps(experiment) // 10)
    merged = read_variants(comparison.experiment, comparison.variants) if comparison.variants else {}
    images = {config.name: content_digest(SiteData.open(config)) for config in configs}
    claim = claimed(comparison.out, experiment, images, steps, merged, say)
    runs: dict[str | None, Run] = {None: Run(comparison.experiment, experiment)}
    variants = dict(claim.get("variants", {}))
    if variants:
        written = write_variants(variants, comparison.out / "variants")
        runs = {variant: Run(file, check_files(file, files)[0]) for variant, file in written.items()}
    write_claim(comparison.out, claim)
    planned = plan(list(by_name), comparison.seeds, list(merged))
    _train(comparison, experiment, by_name, planned, steps, runs, say, display)
    cells = finished(comparison.out, list(by_name), list(variants))
    for seed in seeds_in(comparison.out):
        if seed not in {cell.seed for cell in cells}:
            say(f"seed {seed} is not finished, and left out: --seeds {seed} trains what is missing")
    _judge(comparison, by_name, cells, runs, say)
    base = next(iter(merged), None)
    values = gathered(comparison.out, cells, base)
    write_values(comparison.out / "values.csv", values)
    say(_report(comparison.out, values, list(by_name), base))


@dataclass(frozen=True)
class Run:
    """A federation of the comparison.

    Attributes:
        file: Its experiment.
        experiment: What that holds.
    """

    file: Path
    experiment: Experiment


def _refuse_poor(configs: Sequence[SiteConfig]) -> None:
    poor = [config.name for config in configs if not config.images.has_hq]
    if poor:
        what = "each site is trained alone too, and this one has no HQ images"
        remedy = "Leave it out; a run, --variants and `hqgnet evaluate` take such sites (docs/cue-bank.md)"
        raise ConfigurationError(Problem(f"site {name}: images.hq", what, remedy) for name in poor)


def _train(
    comparison: Comparison,
    experiment: Experiment,
    by_name: dict[str, Path],
    cells: Sequence[Cell],
    steps: int,
    runs: Mapping[str | None, Run],
    say: Say,
    display: Callable[[], Display],
) -> None:
    out = comparison.out
    todo = [cell for cell in cells if not cell.is_trained(out)]
    for cell in todo:
        cell.file_of_figures(out).unlink(missing_ok=True)  # figures of a model that is no more
    if len(todo) < len(cells):
        say(f"{len(cells) - len(todo)} of {len(cells)} models are there already")

    def submit(pool: ProcessPoolExecutor, cell: Cell) -> Future[None]:
        files = list(by_name.values()) if cell.site is None else [by_name[cell.site]]
        return pool.submit(train_cell, cell, experiment, files, out, steps, 1)

    for kinds in (("alone", "pooled"), ("federated",), ("finetuned",)):
        batch = [cell for cell in todo if cell.kind in kinds]
        for cell in batch if kinds == ("federated",) else ():
            say(f"{cell.model}, seed {cell.seed}")
            simulation = Simulation(
                experiment=runs[cell.variant].file,
                sites=comparison.sites,
                directory=RunDirectory(cell.folder(out).absolute()),
                seed=cell.seed,
                overwrite=True,
                cpus=comparison.workers,
            )
            simulate(simulation, display())
        if kinds != ("federated",) and batch:
            with ProcessPoolExecutor(comparison.workers, mp_context=get_context("spawn")) as pool:
                running = {submit(pool, cell): cell for cell in batch}
                while running:
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        cell = running.pop(done)
                        done.result()
                        say(f"{cell.model}, seed {cell.seed}: trained")


def _judge(
    comparison: Comparison,
    by_name: dict[str, Path],
    cells: Sequence[Cell],
    runs: Mapping[str | None, Run],
    say: Say,
) -> None:
    files, out = list(by_name.values()), comparison.out

    def submit(pool: ProcessPoolExecutor, cell: Cell) -> Future[list[Value]]:
        personal = cell.kind == "federated" and has_personal_model(runs[cell.variant].experiment)
        return pool.submit(judge_model, cell, out, files, 1, personal=personal)

    pending = [cell for cell in cells if not cell.file_of_figures(out).exists()]
    with ProcessPoolExecutor(comparison.workers, mp_context=get_context("spawn")) as pool:
        for cell, result in [(cell, submit(pool, cell)) for cell in pending]:
            write_values(cell.file_of_figures(out), result.result())
            say(f"{cell.model}, seed {cell.seed}: judged at {len(files)} sites")


def _report(out: Path, values: Sequence[Value], sites: Sequence[str], base: str | None) -> str:
    texts, data = [], {}
    present = {value.metric for value in values if value.value is not None}
    seeds = sorted({value.seed for value in values})
    for column in COLUMNS:
        if column.metric not in present:
            continue
        matrix = build_matrix(values, column.metric)
        texts.append(matrix_text(matrix, sites, column, notes(column.metric, base)))
        data[column.metric] = _plain(matrix)
        # More detail or entropy may be noise: of these nothing is said.
        if base:
            changes = differences(values, column.metric, base)
            texts += [differences_text(changes, base, column.decimals, seeds)] if changes else []
            data[column.metric]["differences"] = {model: asdict(found) for model, found in changes.items()}
        elif figure(column.metric).better != "neither":
            said = verdict(values, matrix)
            texts.append(verdict_text(said, column.title))
            data[column.metric]["verdict"] = asdict(said)
        texts.append("")
    write_atomically(out / "comparison.json", (json.dumps(data, indent=2) + "\n").encode())
    text = "\n".join(texts)
    write_atomically(out / "comparison.txt", (text + "\n").encode())
    return text


def _plain(matrix: Matrix) -> dict[str, object]:
    models = list(matrix.mean)
    return {
        "models": {
            model: {
                "sites": {s: asdict(e) for (of, s), e in matrix.cells.items() if of == model},
                "mean": asdict(matrix.mean[model]),
                "worst": {"site": matrix.worst[model][0], "mean": matrix.worst[model][1]},
                "seeds": matrix.seeds[model],
            }
            for model in models
        }
    }
