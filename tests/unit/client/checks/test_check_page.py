"""The page and the command: what a person and a program get to see."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from client.checks.examination import Examination, guarded
from client.checks.finding import Finding
from client.checks.leaving import what_leaves
from client.checks.page import as_text
from client.cli import main
from hqgnet.data.site_config import load_site_config
from tests.unit.client.checks.hospital import found, make_hospital, offline, picture, save

ROOT = Path(__file__).parents[4]


def test_a_good_site_is_shown(tiny_site_files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tiny_site_files[0])]) == 0
    shown = capsys.readouterr().out
    assert "8 to train, 2 to validate, 3 to test" in shown
    assert "no section server" in shown
    assert "Verdict: ready" in shown and "\033" not in shown


def test_json_holds_findings_and_the_card(
    tiny_site_files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--json", str(tiny_site_files[0])]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["card"]["lq"]["train"] == 8
    assert told["exit_code"] == 0
    assert {"group", "title", "state", "detail", "remedy", "files"} == set(told["findings"][0])


def test_all_mistakes_of_the_site_file_are_on_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("name: UPPER\nmodality: x-ray\nunknown: 1\n")
    assert main(["check", str(file)]) == 10
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("name", "modality", "unknown", "images"))
    assert "Verdict: not ready" in shown and "(exit code 10: configuration)" in shown


def test_a_missing_site_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", str(tmp_path / "none.yaml")]) == 10
    told = json.loads(capsys.readouterr().out)
    assert told["card"] is None and told["findings"][0]["state"] == "problem"


def test_problems_of_images_and_of_the_server_together_are_configuration(tmp_path: Path) -> None:
    more = "server: {address: 'localhost:8443', ca: ca.pem, key: site-1.key}\n"
    file = make_hospital(tmp_path, more=more)
    save(tmp_path / "hq/q04_1.png", picture(4))
    assert offline(file).exit_code == 10


def test_mistakes_are_told_before_torch_is_loaded(tmp_path: Path) -> None:
    code = f"""
import sys
from client.cli import main
assert main(["check", {str(tmp_path / "none.yaml")!r}]) == 10
assert not {{"torch", "monai", "flwr"}} & set(sys.modules)
"""
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr


def test_a_check_that_fails_is_a_finding_and_the_page_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: object) -> list[Finding]:
        raise ZeroDivisionError("of a check")

    monkeypatch.setattr("client.checks.machine.check_threads", fail)
    examination = offline(make_hospital(tmp_path, images=4))
    finding = found(examination, "threads")
    assert finding.state == "problem" and "ZeroDivisionError: of a check" in finding.detail
    assert found(examination, "flwr").state == "ok"
    assert examination.exit_code == 10


def test_an_interruption_is_none_of_a_checks_failures() -> None:
    def interrupt() -> list[Finding]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded("Machine", "x", interrupt)


def test_the_page_is_short_where_the_json_is_whole(tmp_path: Path) -> None:
    findings = [
        Finding("Images", "mistake", "problem", f"file {number}", "Rename it") for number in range(25)
    ]
    files = tuple(f"lq/{number}.png" for number in range(40))
    findings.append(Finding("Images", "unreadable", "warning", "40 files", "Copy them again", files))
    page = as_text(Examination(tmp_path, None, tuple(findings)), colour=False)
    assert "file 9" in page and "file 10" not in page and "and 15 more of: mistake (Rename it)" in page
    assert "lq/9.png" in page and "lq/10.png" not in page and "and 30 more" in page
    assert "25 problems to mend (X); 1 warning to look at (!)" in page


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    finding = Finding("Images", "unreadable", "warning", "1 file", "", ("lq/\033[2Jevil\n.png",))
    page = as_text(Examination(tmp_path, None, (finding,)), colour=False)
    assert "lq/?[2Jevil?.png" in page


def test_colour_is_for_terminals(tiny_site_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["check", str(tiny_site_files[0])])
    assert "\033[32mok\033[0m" in terminal.getvalue()


def test_what_leaves_follows_the_policy(tmp_path: Path) -> None:
    more = (
        "share_guidance: false\npolicy: {losses: false, metrics: [psnr], groups: [generator], "
        "clip_norm: 2.0, minimum_images: 5, smallest_count: 5, minimum_images_for_metrics: 9, "
        "noise: {multiplier: 1.5, epsilon: 8}}\n"
    )
    file = make_hospital(tmp_path, more=more)
    text = " ".join(what_leaves(load_site_config(file), 7))
    for words in (
        "weights of generator, their change clipped to an L2 norm of 2",
        "(multiplier 1.5) until epsilon 8",
        "no training losses",
        "sums of psnr over 9 images or more",
        "from 1 to 4 are hidden",
        "not the mean cue",
    ):
        assert words in text, words
    assert offline(file).card.hidden


def test_the_mean_cue_stays_where_too_few_images_make_it(tmp_path: Path) -> None:
    config = load_site_config(make_hospital(tmp_path))
    assert "not the mean cue of the HQ images." in what_leaves(config, 7)
    assert "not the mean cue of the HQ images." not in what_leaves(config, 8)
