"""Headless Chromium from Debian, driven by selenium, and the two pages to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.report.page import Request, write_report
from hqgnet.config import Experiment
from hqgnet.data.site_config import load_site_config
from hqgnet.data.site_data import SiteData
from server.report.page import write_report as write_run_report
from tests.report_samples import write_comparison, write_model, write_run

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a profile of its own, its console and its network being watched."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


@pytest.fixture(scope="session")
def hospital_page(
    tiny_site_files: list[Path], tiny_experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A hospital's page; one of its three test images has no mask."""
    folder = tmp_path_factory.mktemp("hospital") / "site"
    shutil.copytree(tiny_site_files[0].parent, folder)
    sample = SiteData.open(load_site_config(folder / "site.yaml")).lq["test"][0]
    assert sample.mask is not None
    sample.mask.unlink()
    model = write_model(folder.parent / "best.safetensors", tiny_experiment)
    return write_report(Request(folder / "site.yaml", model))


@pytest.fixture(scope="session")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on a run of four sites and 24 rounds, with a comparison."""
    folder = tmp_path_factory.mktemp("server")
    return write_run_report(write_run(folder / "trial"), write_comparison(folder / "comparison"))
