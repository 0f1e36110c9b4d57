"""The page on a run: what it says of a run that went well, failed, was stopped, or is going on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from hqgnet.errors import ConfigurationError
from hqgnet.exchange.arrays import ArrayFault
from hqgnet.exchange.update import SiteError
from server.guards import Fault
from server.report.codes import Part, explain, part_of
from server.report.page import page, write_report
from server.report.participation import participation
from server.report.record import read_run
from tests.page_structure import Page, assert_sound
from tests.report_samples import RUN, SITES, contents, write_run

MINUS = "\u2212"


@pytest.fixture(scope="module")
def html(completed: Path) -> str:
    return page(read_run(completed))


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", Page(html).text)


def test_the_page_is_sound_and_loads_nothing(html: str) -> None:
    shown = assert_sound(html)
    assert not shown.scripts
    assert "script-src &#39;none&#39;" in html
    sections = [text for level, text in shown.headings if level == 2]
    assert sections == [
        "Summary",
        "Validation",
        "Site by site",
        "Who took part",
        "Losses",
        "Bytes and time",
        "Choice of the model",
        "Configuration and versions",
    ]


def test_the_same_files_give_the_same_page(completed: Path, html: str) -> None:
    before = contents(completed)
    assert page(read_run(completed)) == html
    assert contents(completed) == before


def test_the_result_comes_first(html: str) -> None:
    text = plain(html)
    assert "Completed after 24 of 24 rounds, in 1 h 6 min, begun 23 November 2026, 03:00 UTC." in text
    # Three of four sites have twins: 15, 15.45 and 15.9 dB, each raised by a fifth.
    assert (
        "On 24 test images at 2 of 3 sites, mean over sites, PSNR rose from 15.45 to 18.54 dB (+3.09)" in text
    )
    assert f"Not everything improved: SSIM at bergen ({MINUS}0.118)." in text
    assert "15.00 → 18.00 +3.00" in text
    assert "Sites behind the mean: PSNR: 2 of 3" in text
    assert "n/a: not judged, site-overdue: the site did not finish in time" in text


def test_what_a_site_has_not_is_said_to_be_missing(html: str) -> None:
    rows = re.findall(r"<tr><th scope=\"row\">delft</th>(.*?)</tr>", html, re.DOTALL)
    assert rows[0].count('<span class="none">n/a</span>') == 4  # PSNR, SSIM, Dice, AUC
    assert "5.45 <span" in rows[0]


def test_who_took_part_and_why_not(completed: Path, html: str) -> None:
    told = participation(read_run(completed))
    assert told.shares == {"aachen": (24, 24), "bergen": (24, 24), "cadiz": (21, 24), "delft": (18, 24)}
    assert told.uncounted == 1
    labels = [attempt.label for block in told.blocks for attempt in block.attempts]
    assert labels[5:9] == ["6", "7", "7.2", "8"] and len(labels) == 25
    by_site = {site: [*chain(*(block.rows[site] for block in told.blocks))] for site in SITES}
    assert [by_site[site][6].part for site in SITES] == [
        Part.TOOK_PART,
        Part.NO_ANSWER,
        Part.REFUSED,
        Part.FAILED,
    ]
    assert by_site["cadiz"][10].part == Part.DECLINED
    assert by_site["delft"][15].part == Part.NOT_ASKED
    assert by_site["delft"][24].part == Part.ABSENT
    text = plain(html)
    assert "cadiz: rounds 9 to 11" in text
    assert "the hospital's privacy budget is spent" in text
    assert "pretrain: rounds 1 to 2; enhance: rounds 3 to 14" in text.lower()


@pytest.mark.parametrize("code", [*SiteError, *Fault, *ArrayFault])
def test_every_code_is_explained(code: str) -> None:
    assert "another version;" not in explain(code) and len(explain(code)) > 20
    assert part_of(code) in (Part.FAILED, Part.DECLINED, Part.NO_ANSWER, Part.REFUSED)


def test_a_code_of_tomorrow_does_not_break_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    rows = (run / "rounds.jsonl").read_text().replace("norm-outlier", "code-of-tomorrow")
    (run / "rounds.jsonl").write_text(rows)
    assert "code-of-tomorrow" in Page(page(read_run(run))).text


def test_curves_show_every_site_the_phases_and_the_best_round(html: str) -> None:
    figures = re.findall(r"<figure class=\"plot\">.*?</figure>", html, re.DOTALL)
    psnr = next(figure for figure in figures if "<figcaption>PSNR</figcaption>" in figure)
    assert {"enhance", "cooperate"} <= set(re.findall(r'band-name".*?>(\w+)<', psnr))
    assert psnr.count("chosen-line") == 1
    # Three sites with twins, each with its originals, and the mean.
    drawn = [path for path in re.findall(r'<path class="line" d="(M[^"]*)"', psnr) if path]
    assert len(drawn) == 7
    reconstruction = next(figure for figure in figures if "Reconstruction" in figure)
    assert "Lines over rounds 1 to 2." in reconstruction


def test_totals_count_attempts_that_did_not_count(html: str) -> None:
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html))
    assert facts["to the sites"] == "500 MB"  # 25 attempts of 20 MB
    assert facts["rounds, training and transfer"] == "18 min 45 s"


def test_configuration_and_versions_are_told(html: str) -> None:
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html))
    assert facts["run identifier"] == RUN
    assert facts["version of torch"] == "2.7.0"
    assert facts["seed"] == "7"
    assert facts["enhance.steps"] == "50"
    assert facts["weights.feature_consistency"] == "10.0"
    assert facts["share_discriminator"] == "no"
    assert "highest psnr_enhanced on validation images" in html


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("failed", "Failed after 9 of 24 rounds, with exit code 21."),
        ("stopped", "Stopped by a person after 9 of 24 rounds."),
        ("running", "Not over after 9 of 24 rounds, when this page was made."),
    ],
)
def test_a_run_that_is_not_completed_says_so_first(tmp_path: Path, state: str, said: str) -> None:
    written = page(read_run(write_run(tmp_path / "run", state=state, until=9)))
    assert_sound(written)
    text = plain(written)
    assert said in text
    assert text.index(said) < text.index("trained one enhancer")
    assert "There is no final table" in text
    assert ("1 of 2 valid updates. Start them" in text) == (state == "failed")


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "status.json").write_text('{"state": "running", "exit_code": 0, "problems": []}')
    written = page(read_run(run))
    assert_sound(written)
    assert "Its experiment is not told." in plain(written)


def test_a_line_that_is_being_written_is_passed_over(completed: Path, tmp_path: Path, html: str) -> None:
    run = tmp_path / "trial"
    shutil.copytree(completed, run)
    with (run / "rounds.jsonl").open("a") as stream:
        stream.write('{"run":"trial","phase":"coop')
    assert page(read_run(run)) == html


def test_names_with_markup_are_text(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    run = write_run(tmp_path / "run", state="failed")
    status = {"state": "failed", "exit_code": 20}
    problem = {"where": evil, "what": f"is {evil}", "remedy": evil}
    (run / "status.json").write_text(json.dumps({**status, "problems": [problem]}))
    plan = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps({**plan, evil: evil, "modality": evil}))
    rows = (run / "rounds.jsonl").read_text().replace("bergen", json.dumps(evil)[1:-1])
    (run / "rounds.jsonl").write_text(rows)
    written = page(read_run(run))
    shown = assert_sound(written)
    assert not shown.scripts and not shown.all("img")
    assert evil in shown.text


@pytest.mark.parametrize("spoilt", ["rounds.jsonl", "metrics.jsonl", "experiment.json", "status.json"])
def test_a_spoilt_file_is_named(tmp_path: Path, spoilt: str) -> None:
    run = write_run(tmp_path / "run")
    (run / spoilt).write_text("[not a row]\n")
    with pytest.raises(ConfigurationError, match=spoilt):
        read_run(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no run"):
        read_run(tmp_path)
    with pytest.raises(ConfigurationError, match="is no folder"):
        read_run(tmp_path / "nowhere")


def test_the_command_writes_the_page(completed: Path, tmp_path: Path) -> None:
    run = tmp_path / "trial"
    shutil.copytree(completed, run)
    command = [sys.executable, "-m", "server.cli", "report", str(run)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (finished.returncode, finished.stdout) == (0, f"{run / 'report.html'}\n"), finished.stderr
    assert_sound((run / "report.html").read_text())
    assert write_report(run, out=tmp_path / "deep" / "a.html") == tmp_path / "deep" / "a.html"
