"""The tables as data: the paper's cells, and rows that the configuration takes."""

from __future__ import annotations

from typing import Any

import pytest

from hqgnet.ablation.catalogue import TABLES, rows_named, table_named
from hqgnet.ablation.stages import plan
from hqgnet.ablation.tables import Table
from hqgnet.config import Experiment, Modality
from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import validate_mapping

ROUND = {"rounds": 2, "steps": 5}


def experiment(modality: Modality = "ccm", **sections: Any) -> Experiment:
    mapping = {
        "name": "tables",
        "modality": modality,
        "channels": 1 if modality == "ccm" else 3,
        "phases": dict.fromkeys(("pretrain", "enhance", "cooperate"), ROUND),
    }
    return validate_mapping(mapping | sections, Experiment, "experiment.yaml")


@pytest.mark.parametrize(
    ("name", "row", "modality", "metric", "cell"),
    [
        ("Va", "without-guidance", "ccm", "snr_3", "18.62"),
        ("Va", "learnable", "fundus", "piqe", "17.64"),
        ("Va", "guidance", "colonoscopy", "dice_image", "0.91"),
        ("Vb", "intra", "ccm", "snr_3", "22.69"),
        ("Vb", "both", "colonoscopy", "niqe", "6.65"),
        ("Vc", "all", "fundus", "piqe", "11.93"),
        ("Vc", "ten", "ccm", "dice_image", "0.53"),
        ("Vd", "adain", "ccm", "snr_3", "22.12"),
        ("Vd", "v-z", "fundus", "s_hq", "0.53"),
        ("Vd", "without-multi-scale", "colonoscopy", "niqe", "7.74"),
        ("Ve", "multiply", "colonoscopy", "niqe", "7.73"),
        ("Ve", "adalin", "ccm", "snr_3", "22.19"),
        ("Vf", "structure", "ccm", "snr_3", "21.82"),
        ("Vf", "none", "colonoscopy", "dice_image", "0.80"),
        ("Vg", "vertical", "ccm", "snr_3", "21.54"),
        ("Vg", "vertical-diagonal", "ccm", "snr_3", "22.44"),
        ("Vg", "horizontal-diagonal", "fundus", "piqe", "12.86"),
        ("Vg", "all", "fundus", "s_hq", "0.60"),
        ("III", "original", "ccm", "snr_3", "17.47"),
        ("III", "enlightengan", "ccm", "snr_5", "22.87"),
        ("III", "hqgnet-plus", "colonoscopy", "entropy", "6.92"),
        ("III", "ata", "colonoscopy", "brisque", "44.73"),
        ("VII", "stillgan-plus", "ccm", "dice_image", "0.557"),
        ("VII", "hqgnet", "colonoscopy", "g_mean_image", "0.930"),
        ("VII", "idrlp", "colonoscopy", "auc_image", "0.764"),
        ("VIII", "hqgnet-plus", "ccm", "grade_acc_0", "0.972 (+0.031)"),
        ("VIII", "enlightengan", "ccm", "grade_f1_2", "0.719"),
    ],
)
def test_cells_stand_as_the_paper_prints_them(
    name: str, row: str, modality: Modality, metric: str, cell: str
) -> None:
    table = table_named(name)
    assert table.cell(modality, metric, rows_named(table, [row])[0]) == cell


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_row_has_a_name_and_a_cell_of_every_line(table: Table) -> None:
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    for lines in table.paper.values():
        for metric, cells in lines.items():
            assert len(cells) == len(names), metric
            assert all(float(cell.split()[0]) for cell in cells)


def test_the_default_method_has_the_same_figures_wherever_it_stands() -> None:
    """Table V's last columns are the same experiment; Ve's stands apart, by its feature matching."""
    for name, row in (("Va", "guidance"), ("Vb", "without-constraints"), ("Vc", "one"), ("Vd", "adalin")):
        table = table_named(name)
        found = [
            table.cell(modality, metric, rows_named(table, [row])[0])
            for modality, metrics in table.metrics.items()
            for metric in metrics
        ]
        assert found == ["22.68", "0.54", "0.60", "12.16", "6.61", "0.91"]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
@pytest.mark.parametrize("modality", ["ccm", "colonoscopy", "fundus"])
def test_every_row_is_an_experiment(table: Table, modality: Modality) -> None:
    network = {"ccm": "deepgrading"}.get(modality, "my.package:Grader")
    downstream = {"network": network, "task": "grading"} if table.judges == "grading" else {}
    planned = plan(
        table, table.rows, experiment(modality, downstream=downstream), 20, (1,), "experiment.yaml"
    )
    assert [one.row for one in planned] == list(table.rows)


def test_names_do_not_heed_capitals_and_bad_ones_are_named() -> None:
    assert table_named("vA") is table_named("Va")
    with pytest.raises(ConfigurationError) as caught:
        table_named("IV")
    assert "III, VII, VIII, Va" in caught.value.problems[0].remedy
    table = table_named("III")
    assert [row.title for row in rows_named(table, ["HQGNET-plus", "ata"])] == ["ATA", "HQG-Net+"]
    with pytest.raises(ConfigurationError) as caught:
        rows_named(table, ["stilgan", "ata", "dncnn"])
    assert len(caught.value.problems) == 2
    assert "'stilgan' is no row of Table III" in str(caught.value.problems[0])
    assert "Did you mean stillgan?" in caught.value.problems[0].remedy
