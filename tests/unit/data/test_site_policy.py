"""The ``policy`` section of a site YAML, and its page in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hqgnet.config_reference import keys
from hqgnet.data.site_policy import SitePolicy
from hqgnet.errors import ConfigurationError
from hqgnet.exchange.update import SiteError
from hqgnet.yaml_files import validate_mapping

PAGE = Path(__file__).parents[3] / "docs" / "site-policy.md"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"metrics": ["pnsr"]}, "pnsr is no metric"),
        ({"strategies": ["fedavgg"]}, "fedavgg is no aggregation rule"),
        ({"networks": ["no dots"]}, "networks"),
        ({"phases": ["all"]}, "phases"),
        ({"groups": ["optimizer"]}, "groups"),
        ({"clip_norm": float("inf")}, "clip_norm"),
        ({"clip_norm": 0}, "clip_norm"),
        ({"noise": {"multiplier": 1.0, "epsilon": 3.0}}, "clip_norm"),
        ({"clip_norm": 1.0, "noise": {"multiplier": 1.0, "epsilon": float("nan")}}, "epsilon"),
        ({"smallest_count": 5}, "(?i)raise minimum_images"),
        ({"losses": "yes"}, "losses"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_mistakes_are_named(policy: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        validate_mapping(policy, SitePolicy, "site.yaml")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        validate_mapping({"metrics": ["pnsr"], "strategies": ["x"], "steps_per_round": 0}, SitePolicy, "site")
    assert len(caught.value.problems) == 3


def test_a_policys_digest_is_of_its_meaning() -> None:
    plain = SitePolicy()
    assert SitePolicy(losses=True, minimum_images=1).digest() == plain.digest()
    assert SitePolicy(losses=False).digest() != plain.digest()


def test_the_page_tells_every_key_with_its_default_and_every_code() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]*) \|[^|]*\|[^|]*\|$", PAGE.read_text(), re.MULTILINE)
    told = dict(rows)
    assert len(told) == len(rows)
    for path, field in keys(SitePolicy):
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        assert told.pop(path) == default, path
    assert set(told) == {"share_guidance", "minimum_images_for_guidance"}
    for code in SiteError:
        if code.name.startswith("POLICY") or code is SiteError.CODE_NOT_APPROVED:
            assert f"`{code}`" in PAGE.read_text(), code
