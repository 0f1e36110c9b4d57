"""What a running server does when its federation.yaml is saved anew, without a SuperLink."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.launch import service
from server.launch.registration import Registration


@pytest.mark.parametrize(
    "broken", ["name: {{ federation }}\n", "name: retina\n", "name: !!int ''\n", "\0", None]
)
def test_a_broken_federation_file_does_not_end_the_server(
    federation_file: Path, monkeypatch: pytest.MonkeyPatch, broken: str | None
) -> None:
    """It is told of, and once it is mended its sites are registered."""
    lines: list[str] = []
    registered: list[tuple[str, ...]] = []

    def register(federation: service.Federation, control: object) -> Registration:
        registered.append(federation.site_names)
        return Registration({}, ())

    monkeypatch.setattr(service, "register_sites", register)
    monkeypatch.setattr(service, "_REGISTER_AGAIN_S", 0.0)
    good = federation_file.read_text()
    serving = service.Service(federation_file, lines.append)
    serving._federation.database.parent.mkdir(parents=True)
    serving._link = serving._executor = SimpleNamespace(tend=lambda: "", starts=1)  # type: ignore[assignment]
    serving._tend()
    assert registered == [("site-1", "site-2")] and not lines

    if broken is None:
        federation_file.unlink()
    else:
        save(federation_file, broken, 1)
    serving._tend()
    assert len(registered) == 1
    assert lines and all(line.startswith(f"warning: {federation_file}") for line in lines)

    save(federation_file, good.replace("{name: site-2}", "{name: site-2}, {name: site-3}"), 2)
    serving._tend()
    assert registered[1:] == [("site-1", "site-2", "site-3")]


def save(file: Path, text: str, tick: int) -> None:
    """Write it, with a time of its own whatever the clock's steps are."""
    file.write_text(text)
    later = file.stat().st_mtime_ns + tick * 10**9
    os.utime(file, ns=(later, later))
