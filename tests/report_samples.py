"""Run folders as the server writes them: for the tests of reports."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hqgnet.config import Experiment
from hqgnet.model_file import save_model
from hqgnet.networks import build_networks
from server.comparison.judging import Value, write_values

SITES = ("aachen", "bergen", "cadiz", "delft")
PHASES = {"pretrain": 2, "enhance": 12, "cooperate": 10}
LOSSES = {
    "pretrain": ("reconstruction",),
    "enhance": ("discriminator", "enhancement", "haar", "feature_consistency", "adversarial"),
    "cooperate": (
        "discriminator",
        "enhancement",
        "haar",
        "feature_consistency",
        "adversarial",
        "segmentation",
    ),
}
RUN = "trial-00000000000004d2"
BEGUN = 1_795_402_805.0


def experiment(**changes: Any) -> dict[str, Any]:
    """An experiment with every default spelled out."""
    phases = {name: {"rounds": rounds, "steps": 50} for name, rounds in PHASES.items()}
    plan = {"name": "trial", "seed": 7, "modality": "fundus", "channels": 3, "phases": phases, **changes}
    return dict(json.loads(Experiment.model_validate(plan).to_json()))


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A line of JSON a row; NaN as Python writes it."""
    path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))


def figures(site: int, gain: float, *, labelled: bool = True) -> dict[str, float | None]:
    """A site's row: with twins and masks, or without either."""
    row: dict[str, float | None] = {"images": 12.0}
    values = {"psnr": 15.0, "ssim": 0.6, "average_gradient": 5.0, "entropy": 5.5, "dice": 0.4, "auc": 0.85}
    for name, value in values.items():
        if not labelled and name in ("psnr", "ssim", "dice", "auc"):
            row |= {f"{name}_original": None, f"{name}_enhanced": None}
            continue
        before = value * (1 + 0.03 * site)
        after = min(0.99, before * (1 + gain)) if before < 1 else before * (1 + gain)
        row |= {f"{name}_original": before, f"{name}_enhanced": after}
    return row


def failed_in(number: int, attempt: int) -> tuple[dict[str, str], list[str]]:
    """Who failed in a round, and who was absent."""
    if (number, attempt) == (7, 0):
        return {"bergen": "no-reply", "cadiz": "norm-outlier", "delft": "training-diverged"}, []
    if number in (9, 10, 11):
        return {"cadiz": "policy-privacy-budget"}, []
    return {}, ["delft"] if number >= 20 else []


def write_run(folder: Path, *, state: str = "completed", until: int = 24, **changes: Any) -> Path:
    """Write a run of four sites, one of them without twins and masks, with failures of every kind.

    Args:
        folder: Made.
        state: Of ``status.json``.
        until: Last round.
        changes: Of the experiment.
    """
    folder.mkdir(parents=True)
    plan = experiment(**changes)
    (folder / "experiment.json").write_text(json.dumps(plan))
    problem = {"where": "federation.minimum_sites", "what": "1 of 2 valid updates", "remedy": "Start them"}
    status = {
        "completed": {"state": "completed", "exit_code": 0, "problems": []},
        "failed": {"state": "failed", "exit_code": 21, "problems": [problem]},
        "stopped": {"state": "failed", "exit_code": 130, "problems": [problem | {"what": "was stopped"}]},
        "running": {"state": "running", "exit_code": 0, "problems": []},
    }
    (folder / "status.json").write_text(json.dumps(status[state]))
    rounds, metrics = [], []
    schedule = [(phase, number) for phase, count in PHASES.items() for number in range(1, count + 1)]
    for total, (phase, number) in enumerate(schedule[:until], 1):
        for attempt in (0, 1) if total == 7 else (0,):
            rounds.append(_round(phase, number, total, attempt))
        if phase != "pretrain" and number % 2 == 0:
            metrics += _judged(phase, number, "validation", 0.01 * total)
    events = [{"time": BEGUN, "event": "waiting", "sites": 4}]
    events += [{"time": BEGUN + 1, "event": "site", "name": site} for site in SITES]
    events += [{"time": BEGUN + 4000, "event": "evaluation", "seconds": 9.5}]
    write_lines(folder / "progress.jsonl", events)
    started = {"run": RUN, "experiment": "ab" * 32, "versions": {"hqgnet": "0.1.0", "torch": "2.7.0"}}
    write_lines(folder / "audit.jsonl", [{"n": 1, "event": "run-started", "facts": started}])
    if state == "completed":
        metrics += _judged("cooperate", 8, "test", 0.2)
        reason = "highest psnr_enhanced on validation images, mean over 3 sites; of equals the earlier"
        choice = {"phase": "cooperate", "round": 8, "by": "psnr", "score": 20.25, "reason": reason}
        (folder / "choice.json").write_text(json.dumps(choice))
        (folder / "table.json").write_text(json.dumps(_table(metrics[-6:])))
    write_lines(folder / "rounds.jsonl", rounds)
    write_lines(folder / "metrics.jsonl", metrics)
    return folder


def _round(phase: str, number: int, total: int, attempt: int) -> dict[str, Any]:
    failed, absent = failed_in(total, attempt)
    asked = SITES[:3] if total == 15 else SITES  # one was not asked
    taken = [site for site in asked if site not in failed and site not in absent]
    of = {
        site: {
            "weight": 48, "steps": 50, "seconds": 20.0 + 4 * SITES.index(site), "distance": 1.5,
            "losses": {
                name: (1 + 0.1 * SITES.index(site)) * math.exp(-total / 20) / (1 + order)
                for order, name in enumerate(LOSSES[phase])
            },
        }
        for site in taken
    }  # fmt: skip
    if total == 5:
        of["aachen"]["losses"]["adversarial"] = math.nan
    losses = {name: sum(row["losses"][name] for row in of.values()) / len(of) for name in LOSSES[phase]}
    counted = len(taken) >= 2
    return {
        "run": RUN, "phase": phase, "round": number, "global_round": total, "attempt": attempt,
        "counted": counted, "losses": losses, "seconds": 45.0, "failed": failed, "absent": absent,
        "bytes_down": 20_000_000, "bytes_up": 5_000_000 * len(taken), "sites": of,
    }  # fmt: skip


def _judged(phase: str, number: int, split: str, gain: float) -> list[dict[str, Any]]:
    place = {"run": RUN, "phase": phase, "round": number, "split": split}
    rows = {site: figures(n, gain, labelled=site != "delft") for n, site in enumerate(SITES)}
    rows["bergen"]["ssim_enhanced"] = 0.5  # worse than its original
    mean = {key: _mean([row[key] for row in rows.values()]) for key in rows["aachen"]}
    mean["images"] = 36.0
    return [
        *({**place, "kind": "site", "site": site, **row} for site, row in rows.items()),
        {**place, "kind": "site-mean", **mean, "sites_behind": {"psnr_enhanced": 3}},
        {**place, "kind": "pooled", **mean},
    ]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    bare = [
        {k: v for k, v in row.items() if k not in ("run", "kind", "phase", "round", "split")} for row in rows
    ]
    sites = {row["site"]: {k: v for k, v in row.items() if k != "site"} for row in bare[:4]}
    sites.pop("cadiz")
    behind = {name: sum(row[name] is not None for row in sites.values()) for name in sites["aachen"]}
    return {
        "experiment": "trial", "seed": 7, "model": {"phase": "cooperate", "round": 8}, "split": "test",
        "sites": sites, "site_mean": bare[4], "sites_behind": behind,
        "pooled": bare[5], "failed": {"cadiz": "site-overdue"},
    }  # fmt: skip


def write_comparison(folder: Path, **changes: Any) -> Path:
    """Write what ``hqgnet-server compare`` leaves: the federation wins at two sites and loses at one."""
    folder.mkdir(parents=True)
    sites = SITES[:3]
    plan = {"experiment": experiment(**changes), "sites": list(sites), "finetune_steps": 10}
    (folder / "plan.json").write_text(json.dumps(plan))
    gains = {"original": 0.0, "pooled": 5.0, "federated": 4.0}
    gains |= {f"alone {site}": 1.0 + 2.5 * number for number, site in enumerate(sites)}
    gains |= {f"finetuned {site}": 4.2 for site in sites}
    values = [
        Value(1, model, site, image, metric, base + scale * (gain + 0.3 * math.sin(7 * image + number)))
        for metric, base, scale in (("psnr", 15.0, 1.0), ("average_gradient", 5.0, 0.1))
        for model, gain in gains.items()
        for number, site in enumerate(sites)
        for image in range(12)
    ]
    values.append(Value(1, "federated", "aachen", 12, "psnr", None))
    write_values(folder / "values.csv", values)
    return folder


def write_variants(folder: Path) -> Path:
    """Write what ``compare --variants`` leaves of two seeds; one variant is better with both, one once.

    The first variant is the experiment as it stands, of ``better`` images are smaller.
    """
    folder.mkdir(parents=True)
    changes: dict[str, dict[str, Any]] = {
        "plain": {},
        "better": {"image_size": 96},
        "luckier": {"preset": "tiny"},
    }
    variants = {name: experiment(name=name, **changed) for name, changed in changes.items()}
    plan = {"experiment": experiment(), "sites": list(SITES[:2]), "variants": variants}
    (folder / "plan.json").write_text(json.dumps(plan))
    gains = {"original": (0, 0), "plain": (3, 4), "better": (4, 6), "luckier": (7, 3)}
    write_values(
        folder / "values.csv",
        [
            Value(seed, model, site, image, "psnr", 15.0 + of_seeds[seed - 1] + 0.3 * image)
            for model, of_seeds in gains.items()
            for seed in (1, 2)
            for site in SITES[:2]
            for image in range(5)
        ]
        # A figure that one variant alone has differs from nothing.
        + [Value(1, "plain", SITES[0], image, "ssim", 0.5) for image in range(5)],
    )
    return folder


def write_model(path: Path, plan: Experiment) -> Path:
    """Write an untrained model that says its downstream network has been trained."""
    networks = build_networks(plan.numbers, plan.channels, seed=1)
    details = {"phase": "cooperate", "round": 2, "task_trained": True, "chosen": "<b>highest</b>", "score": 1}
    save_model(path, networks, plan, guidance=None, details=details)
    return path


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file by name, to see whether anything changed."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
