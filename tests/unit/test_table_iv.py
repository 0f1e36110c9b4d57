"""``hqgnet inspect --all``: every network, beside the paper's Table IV."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import pytest

from hqgnet import cli
from hqgnet.inspection import inspect
from hqgnet.presets import PRESETS
from hqgnet.table_iv import Catalogue, format_all


@pytest.fixture(scope="module")
def counted() -> Catalogue:
    """What the command prints; it takes seconds."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert cli.main(["inspect", "--all", "--json"]) == 0
    catalogue: Catalogue = json.loads(printed.getvalue())
    return catalogue


def test_every_method_stands_beside_the_papers_figure(counted: Catalogue) -> None:
    paper = {entry["name"]: entry["paper"] for entry in counted["enhancers"] if entry["paper"]}
    assert paper == {
        "HQG-Net": {"params_m": 66.42, "gmacs": 87.33},
        "StillGAN": {"params_m": 58.38, "gmacs": 94.73},
        "EnlightenGAN": {"params_m": 56.37, "gmacs": 98.67},
    }
    assert len(counted["not_built"]) == 5 and counted["not_built"]["TTSR"]["gmacs"] == 556.41


def test_figures_are_those_of_the_networks(counted: Catalogue) -> None:
    by_name = {(entry["name"], entry["preset"]): entry for entry in counted["enhancers"]}
    alone = inspect(PRESETS["small"], 3, 384)["total"]
    assert by_name["HQG-Net", "small"]["gmacs"] == alone["gmacs"]
    assert by_name["StillGAN", "paper"]["params_m"] == pytest.approx(58.542144)
    assert by_name["StillGAN", "paper"]["gmacs"] == pytest.approx(128.853, abs=1e-3)
    assert by_name["EnlightenGAN", "paper"]["params_m"] == pytest.approx(8.64, abs=0.01)
    assert by_name["ATA", ""]["gmacs"] is None
    networks = {(entry["name"], entry["preset"]): entry for entry in counted["downstream"]}
    assert networks["CS-Net", "paper"]["params_m"] == pytest.approx(8.93, abs=0.01)
    assert networks["CS-Net", "paper"]["gmacs"] == pytest.approx(28.2, rel=0.02)
    assert {name for name, _ in networks} == {"CS-Net", "PNS-Net", "DeepGrading"}


def test_the_table_tells_all_of_it(counted: Catalogue) -> None:
    lines = format_all(counted).splitlines()
    (still,) = [line for line in lines if line.startswith("StillGAN paper")]
    assert still.split()[2:] == ["58.54", "128.85", "58.38", "94.73"]
    assert sum(line.endswith("no parameters") for line in lines) == 3
