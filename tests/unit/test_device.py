"""Which processor is used, and what is no processor."""

from __future__ import annotations

import pytest
import torch

from hqgnet.device import choose_device
from hqgnet.errors import ConfigurationError


@pytest.mark.parametrize("wish", ["meta", "mps", "xpu:1", "cuda:-1", "gpu", ""])
def test_what_nothing_is_computed_on_is_refused(wish: str) -> None:
    with pytest.raises(ConfigurationError, match=f"device: '{wish}' is unknown"):
        choose_device(wish)


def test_the_processor_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
