"""The page of configuration keys says what the code checks."""

from __future__ import annotations

from pathlib import Path

from hqgnet.config import Experiment
from hqgnet.config_reference import keys, reference
from hqgnet.data.site_config import SiteConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"


def test_every_key_has_a_meaning() -> None:
    for model in (Experiment, SiteConfig):
        for path, field in keys(model):
            assert field.description, path
