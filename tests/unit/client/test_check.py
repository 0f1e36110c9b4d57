"""``hqgnet-client check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.cli import main


def test_a_good_site_is_shown(tiny_site_files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tiny_site_files[0])]) == 0
    shown = capsys.readouterr().out
    assert "LQ        8 to train, 2 to validate, 3 to test" in shown
    assert main(["check", "--json", str(tiny_site_files[0])]) == 0
    assert json.loads(capsys.readouterr().out)["lq"]["train"] == 8


def test_a_bad_site_file_has_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("name: UPPER\nmodality: x-ray\nunknown: 1\n")
    assert main(["check", str(file)]) == 10
    shown = capsys.readouterr().err
    assert all(word in shown for word in ("name", "modality", "unknown", "images"))
