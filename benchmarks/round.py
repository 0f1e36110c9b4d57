"""What a simulated round takes beside its local training, and where that goes.

``python -m benchmarks.round --json``, or of a run that has ended, one worker a site:
``python -m benchmarks.round --run DIR --site-files 'sites/*/site.yaml' --json``

A federation of synthetic sites runs as ``hqgnet-server simulate`` runs it, every site at the same time. A
round lasts from the checkpoint before it to its own last one. The server waits for the slowest site: what
that one trains counts as local training, all else as overhead. The parts come from the times in the run's own
records and in the sites' audit logs. The first round of the phase is told apart: in it sites start their
processes and read their images.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from benchmarks.experiments import experiment_of
from benchmarks.harness import Result, arguments, environment, median, report
from hqgnet.data.site_config import load_site_config
from hqgnet.data.synthetic.sites import make_sites
from hqgnet.presets import PRESETS
from server.progress import Event
from server.run_directory import RunDirectory
from server.simulation import Simulation, find_sites, simulate

PHASE = "enhance"
TARGET = 0.05
PARTS = {
    "selecting": "from the round before to the request: who is there, who takes part",
    "training": "local training of the slowest site",
    "site": "at that site beside training: reading, checks, private state, its audit",
    "transport": "packing, Flower's way there and back, the server's checks, the spool",
    "combining": "outliers, audit, the mean",
    "checkpoint": "the model's step, digests, the state on disk",
    "evaluation": "the sites judge the model, where it is due, and what follows",
}


class Silent:
    """A display that shows nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, event: Event) -> None:
        """Show nothing."""


def read_rounds(run: Path, works: Sequence[Path]) -> list[dict[str, float]]:
    """Return the seconds of every part (:data:`PARTS`) of every round of phase ``enhance``, in order.

    Args:
        run: Directory of a finished run.
        works: The sites' private folders.
    """
    identifier = RunDirectory(run).identifier()
    events = list(_lines(run / "progress.jsonl"))
    audit = list(_lines(run / "audit.jsonl"))
    before = next(one["time"] for one in events if one["event"] == "phase" and one["phase"] == PHASE)
    rounds = []
    for row in _lines(run / "rounds.jsonl"):
        if row["phase"] != PHASE or not row["counted"]:
            continue
        number = row["round"]
        told = [one["time"] for one in events if one["event"] == "round" and _is_of(one, number)][-1]
        accepted = [_seconds(one) for one in _named(audit, "update-accepted", number)]
        kept = [_seconds(one) for one in _named(audit, "checkpoint", number)]
        asked = told - row["seconds"]
        training = max(site["seconds"] for site in row["sites"].values())
        at_site = max(_at_site(work, identifier, number) for work in works)
        parts = {
            "selecting": asked - before,
            "training": training,
            "site": at_site - training,
            "transport": min(accepted) - asked - at_site,
            "combining": told - min(accepted),
            "checkpoint": kept[0] - told,
            "evaluation": kept[-1] - kept[0],
        }
        rounds.append(parts)
        before = kept[-1]
    return rounds


def summary(rounds: Sequence[Mapping[str, float]]) -> Result:
    """Return the figures of a run: of all rounds after the first, and of the first one alone.

    Args:
        rounds: At least two, as :func:`read_rounds` gives them.
    """
    first, *others = rounds
    whole = sum(sum(parts.values()) for parts in others)
    training = sum(parts["training"] for parts in others)
    share = 1.0 - training / whole
    return {
        "round_seconds": whole / len(others),
        "local_training_seconds": training / len(others),
        "overhead_share": share,
        "target_share": TARGET,
        "below_target": share < TARGET,
        "seconds_by_part": {name: sum(parts[name] for parts in others) / len(others) for name in PARTS},
        "median_seconds_by_part": {name: median([parts[name] for parts in others]) for name in PARTS},
        "first_round": {name: first[name] for name in PARTS},
        "parts": PARTS,
    }


def measure(
    preset: str,
    *,
    sites: int,
    size: int,
    batch: int,
    steps: int,
    rounds: int,
    every: int,
    threads: int,
    precision: str,
) -> Result:
    """Run a federation in a temporary folder, and return its figures.

    Args:
        preset: Of the networks.
        sites: How many; all train at the same time.
        size: Side of the images in pixels.
        batch: Images a step.
        steps: Local steps a round.
        rounds: Of the phase, the first included.
        every: Rounds from evaluation to evaluation.
        threads: Of a site.
        precision: In which the networks run.
    """
    experiment = experiment_of(
        preset,
        image_size=size,
        training={"batch_size": batch, "precision": precision},
        federation={"minimum_sites": sites},
        evaluation={"every": every, "metrics": ["psnr", "ssim"]},
        phases={
            "pretrain": {"rounds": 1, "steps": 1},
            PHASE: {"rounds": rounds, "steps": steps},
            "cooperate": {"rounds": 0, "steps": 1},
        },
    )
    with tempfile.TemporaryDirectory(prefix="round-") as folder:
        root = Path(folder)
        images = {"train_lq": 4 * batch, "train_hq": 4 * batch, "validation_lq": 4, "test_lq": 4}
        files = make_sites("fundus", sites, 1, root / "sites", size=size, test_hq=2, **images)
        file = root / "experiment.yaml"
        file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
        simulation = Simulation(
            experiment=file,
            sites=str(root / "sites" / "*" / "site.yaml"),
            directory=RunDirectory(root / "run"),
            cpus_per_site=threads,
            cpus=sites * threads,
        )
        simulate(simulation, Silent())
        works = [load_site_config(site).work for site in files]
        result = summary(read_rounds(root / "run", works))
    setting = {"preset": preset, "sites": sites, "size": size, "batch": batch, "steps": steps}
    return {**setting, "rounds": rounds, "evaluated_every": every, "precision": precision, **result}


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.set_defaults(threads=1)
    parser.add_argument("--preset", choices=tuple(PRESETS), default="tiny")
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default 96)")
    parser.add_argument("--batch", type=int, default=4, help="images a step (default 4)")
    parser.add_argument("--steps", type=int, default=25, help="local steps a round (default 25, the demo's)")
    parser.add_argument("--rounds", type=int, default=6, help="of which the first is told apart (default 6)")
    parser.add_argument("--every", type=int, default=5, help="rounds between evaluations (default 5)")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--run", type=Path, help="a run that has ended, instead of one made here")
    parser.add_argument("--site-files", metavar="GLOB", help="with --run: its sites' YAML files, in quotes")
    options = parser.parse_args(given)
    if (options.run is None) != (options.site_files is None):
        parser.error("--run and --site-files: give both or neither")
    if options.run is not None:
        works = [load_site_config(file).work for file in find_sites(options.site_files)]
        found = summary(read_rounds(options.run, works))
        return report({**found, "environment": environment(options.threads)}, as_json=options.json)
    if options.rounds < 2:
        parser.error("--rounds: two or more, since the first is told apart")
    result = measure(
        options.preset,
        sites=options.sites,
        size=options.size,
        batch=options.batch,
        steps=options.steps,
        rounds=options.rounds,
        every=options.every,
        threads=options.threads,
        precision=options.precision,
    )
    return report({**result, "environment": environment(options.threads)}, as_json=options.json)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _is_of(facts: Mapping[str, Any], number: int) -> bool:
    return facts.get("phase") == PHASE and facts.get("round") == number


def _named(audit: Sequence[Mapping[str, Any]], event: str, number: int) -> list[Mapping[str, Any]]:
    return [entry for entry in audit if entry["event"] == event and _is_of(entry["facts"], number)]


def _seconds(entry: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(entry["time"]).timestamp()


def _at_site(work: Path, run: str, number: int) -> float:
    """Return how long a site had a round's request, by its own audit log."""
    entries = (entry for entry in _lines(work / "audit.jsonl") if entry["facts"].get("run") == run)
    audit = [entry for entry in entries if entry["facts"].get("kind") == "train"]
    asked, left = (_named(audit, event, number)[-1] for event in ("asked", "left"))
    return _seconds(left) - _seconds(asked)


if __name__ == "__main__":
    main()
