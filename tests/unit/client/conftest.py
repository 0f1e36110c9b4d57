"""Sites with a policy of the test's choice, what they answer, and bundles as Flower's builder makes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.actions import act
from client.message import Answered, Asked
from client.site import forget_sites
from hqgnet.config import Experiment
from hqgnet.exchange.arrays import to_arrays
from hqgnet.exchange.groups import evaluation_keys, shared_keys
from hqgnet.exchange.update import EvaluateRequest, QueryRequest
from hqgnet.networks import build_networks
from tests.train_requests import train_request
from tests.unit.client.recorded_site import Pack, Recorded, SiteWith, pack_bundle, write_site


@pytest.fixture
def site_with(tiny_site_files: list[Path], tmp_path: Path) -> SiteWith:
    """Write the first tiny site's YAML with other keys, and a work folder of its own; again to change it."""
    return lambda **keys: write_site(tiny_site_files[0], tmp_path / "site", **keys)


@pytest.fixture
def pack() -> Pack:
    """Make a bundle of files."""
    return pack_bundle


@pytest.fixture(scope="session")
def requests(tiny_experiment: Experiment) -> dict[str, Asked]:
    """One request of each kind."""
    networks = build_networks(tiny_experiment.numbers, 3, seed=1)
    state = networks.state_dict()
    common: dict[str, Any] = {"run": "run-1", "experiment": tiny_experiment.to_json()}
    train = train_request(tiny_experiment, phase="cooperate")
    judge = EvaluateRequest(
        **common, phase="cooperate", round=1, split="test", with_task=True, want_guidance=True
    )
    return {
        "train": Asked(
            "train", train.to_json(), to_arrays(state, shared_keys(networks, "cooperate", tiny_experiment))
        ),
        "evaluate": Asked(
            "evaluate",
            judge.to_json(),
            to_arrays(state, evaluation_keys(networks, tiny_experiment, with_task=True)),
        ),
        "query": Asked("query", QueryRequest(**common, kind="data-card").to_json()),
        "finish": Asked("query", QueryRequest(**common, kind="finish").to_json()),
    }


@pytest.fixture(scope="session")
def answers(
    requests: dict[str, Asked], tiny_site_files: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answered]:
    """What a site does when nobody governs it."""
    file = write_site(tiny_site_files[0], tmp_path_factory.mktemp("ungoverned"))
    forget_sites()
    update = act(requests["train"], file)
    # An update shares its memory with the networks, which judging changes.
    update = replace(update, arrays={name: array.copy() for name, array in (update.arrays or {}).items()})
    return {"train": update, **{kind: act(requests[kind], file) for kind in ("evaluate", "query")}}


@pytest.fixture
def site(answers: dict[str, Answered]) -> Recorded:
    return Recorded(dict(answers))
