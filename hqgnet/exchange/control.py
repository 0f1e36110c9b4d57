"""What SCAFFOLD sends beside parameters: control variates (Karimireddy et al., arXiv 1910.06378).

The server sends its control variate c of every trained parameter beside it; a site answers with c moved by
the change of its own, c + (c_i+ - c_i). So what a site sends is, here too, what came and has moved: the
site's policy, its clipping and noise, and the server's guards hold for it as for the parameters, and the mean
over the sites is the next c. The variate of a parameter belongs to the parameter's group.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from hqgnet.config import FederationConfig

if TYPE_CHECKING:
    from torch.nn import Module

_SUFFIX = "@control"


def control_name(parameter: str) -> str:
    """Return the name under which a parameter's control variate travels."""
    return f"{parameter}{_SUFFIX}"


def controlled(name: str) -> str | None:
    """Return the parameter whose control variate travels under ``name``; None for any other name."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None


def controlled_parameters(
    networks: Module, names: Iterable[str], federation: FederationConfig
) -> tuple[str, ...]:
    """Return those among ``names`` that travel with a control variate: with scaffold all but buffers."""
    if federation.strategy != "scaffold":
        return ()
    parameters: Collection[str] = {name for name, _ in networks.named_parameters()}
    return tuple(name for name in names if name in parameters)
