"""A provisioned federation on free ports of loopback, in a short folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.federation import Federation, load_federation
from server.flower_environment import free_port
from server.provision.kit import KitOptions
from server.provision.provision import provision


@pytest.fixture
def federation_file() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hq-", dir="/tmp"))
    file = folder / "federation.yaml"
    port, health_port = free_port(), free_port()
    file.write_text(
        "name: retina\n"
        f"server: {{address: '127.0.0.1:{port}', port: {port}, health_port: {health_port}}}\n"
        "sites: [{name: site-1}, {name: site-2}]\n"
    )
    yield file
    shutil.rmtree(folder)


@pytest.fixture
def federation(federation_file: Path) -> Federation:
    loaded = load_federation(federation_file)
    provision(loaded, KitOptions(out=federation_file.parent / "kits"))
    return loaded
