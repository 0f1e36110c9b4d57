"""A site is opened once a process, and again as soon as anything that it is opened from has changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from client import site as site_module
from client.site import forget_sites, open_site, use_resources
from hqgnet.config import Experiment


@pytest.fixture
def own_site(tiny_site_files: list[Path], tmp_path: Path) -> Path:
    """The YAML of a site that the test may write to."""
    folder = tmp_path / "site"
    shutil.copytree(tiny_site_files[0].parent, folder, ignore=shutil.ignore_patterns("work"))
    forget_sites()
    return folder / "site.yaml"


def more(file: Path) -> None:
    file.write_text(f"{file.read_text()}\npolicy: {{gpu_memory_gb: 1.5}}\nthreads: 1\n")


def drawn(file: Path) -> None:
    text = file.read_text()
    assert "file: split.csv" in text
    file.write_text(text.replace("file: split.csv", "seed: 1"))


def dealt(file: Path) -> None:
    split = file.parent / "split.csv"
    split.write_text(split.read_text().replace(",validation", ",test"))


def first_image(file: Path) -> Path:
    return min((file.parent / "images" / "lq").rglob("*.png"))


def exchanged(file: Path) -> None:
    image = first_image(file)
    before = image.stat()
    content = bytearray(image.read_bytes())
    image.write_bytes(content)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def removed(file: Path) -> None:
    (file.parent / "masks" / first_image(file).name).unlink()


CHANGES = [more, drawn, dealt, exchanged, removed]


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_opened_again(
    change: Callable[[Path], None], own_site: Path, tiny_experiment: Experiment
) -> None:
    asked = tiny_experiment.to_json()
    first = open_site(own_site, "run-1", asked)
    assert open_site(own_site, "run-1", asked) is first
    change(own_site)
    again = open_site(own_site, "run-1", asked)
    assert again is not first
    assert open_site(own_site, "run-1", asked) is again
    # What it was before takes no memory any more.
    assert list(site_module._OPEN.values()) == [again]


def test_a_changed_site_is_as_its_files_say_now(own_site: Path, tiny_experiment: Experiment) -> None:
    asked = tiny_experiment.to_json()
    first = open_site(own_site, "run-1", asked)
    more(own_site)
    dealt(own_site)
    again = open_site(own_site, "run-1", asked)
    assert (first.config.policy.gpu_memory_gb, again.config.policy.gpu_memory_gb) == (None, 1.5)
    assert (first.card.lq.validation, again.card.lq.validation) == (2, 0)


def test_grades_are_among_what_it_is_opened_from(own_site: Path, tiny_experiment: Experiment) -> None:
    text = own_site.read_text()
    images = sorted((own_site.parent / "images" / "lq").rglob("*.png"))
    grades = own_site.parent / "grades.csv"
    lines = ["file,grade", *(f"{image},1" for image in images)]
    grades.write_text("\n".join(lines) + "\n")
    assert "images:\n" in text
    own_site.write_text(text.replace("images:\n", "images:\n  grades: grades.csv\n"))
    asked = tiny_experiment.to_json()
    first = open_site(own_site, "run-1", asked)
    grades.write_text(grades.read_text().replace(",1\n", ",2\n"))
    again = open_site(own_site, "run-1", asked)
    assert first.card.levels[1] == again.card.levels[2] == len(images)


def test_another_run_of_the_site_forgets_the_old_one_too(own_site: Path, tiny_experiment: Experiment) -> None:
    asked = tiny_experiment.to_json()
    open_site(own_site, "run-1", asked)
    exchanged(own_site)
    again = open_site(own_site, "run-2", asked)
    assert list(site_module._OPEN.values()) == [again]


def test_threads_are_as_the_file_says_now(
    own_site: Path, tiny_experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    monkeypatch.setattr(site_module, "_TORCHS_THREADS", 7)
    text = own_site.read_text()
    for threads in ("threads: 3\n", ""):
        own_site.write_text(f"{text}\n{threads}")
        use_resources(open_site(own_site, "run-1", tiny_experiment.to_json()), simulated=False)
    assert told == [3, 7]
