"""A federation of two sites in a temporary folder, and a look at every byte of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.federation import Federation, load_federation
from server.provision.kit import KitOptions


@pytest.fixture
def make_federation(tmp_path: Path) -> Callable[..., Federation]:
    """Write ``federation.yaml`` and load it; again with other sites or keys, in the same folder."""

    def make(*sites: str, extra: str = "", address: str = "federation.example.org:8443") -> Federation:
        names = ", ".join(f"{{name: {site}}}" for site in sites or ("site-1", "site-2"))
        file = tmp_path / "federation.yaml"
        server = f"server: {{address: '{address}', names: [10.0.0.5]}}"
        file.write_text(f"name: retina\n{server}\nsites: [{names}]\n{extra}\n")
        return load_federation(file)

    return make


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """Read all files of a folder."""
    return lambda folder: {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def options(tmp_path: Path) -> KitOptions:
    """Kits go beside the federation."""
    return KitOptions(tmp_path / "kits")
