"""What tests ask ``ablate`` for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hqgnet.ablation.catalogue import rows_named, table_named
from hqgnet.ablation.run import Ablation
from hqgnet.config import Experiment

CPU = torch.device("cpu")


def asked(out: Path, experiment: Experiment, name: str, *rows: str, **changes: Any) -> Ablation:
    table = table_named(name)
    given: dict[str, Any] = {"budget": 2, "seeds": (1,)} | changes
    return Ablation(table, rows_named(table, rows), experiment, "experiment.yaml", out=out, **given)
