"""Presets are numbers only, and consistent ones."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from hqgnet.presets import PRESETS, NetworkNumbers


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_own_validation(name: str) -> None:
    numbers = PRESETS[name]
    assert NetworkNumbers.model_validate_json(numbers.model_dump_json()) == numbers


def test_joint_vector_has_the_papers_length() -> None:
    assert [numbers.joint_dim for numbers in PRESETS.values()] == [80, 80, 80, 80]
    assert (PRESETS["paper"].stride, PRESETS["standard"].stride) == (16, 32)


def test_tail_that_does_not_reach_the_image_is_refused() -> None:
    numbers = PRESETS["standard"].model_dump() | {"tail_widths": (128,)}
    with pytest.raises(ValidationError, match="tail_widths must have 2 entries"):
        NetworkNumbers.model_validate(numbers)


def test_reading_presets_does_not_load_torch() -> None:
    code = "import sys, hqgnet.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
