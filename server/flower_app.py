"""The Flower app that we submit: its ``pyproject.toml``, and the run configuration of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Setting = str | int | bool
# What a run may be told, with its default. Flower takes no key that does not stand here.
SETTINGS: Mapping[str, Setting] = {
    "experiment": "",
    "run-dir": "",
    "federation": "",
    "simulation-sites": "",
    "simulation-process": 0,
    "seed": -1,
    "overwrite": False,
    "resume": False,
    "track": "",
}


def app_project(name: str, version: str, include: Sequence[str] = ()) -> str:
    """Return the ``pyproject.toml`` of an app whose components are those of our packages.

    Args:
        name: Of the app.
        version: Three numbers.
        include: Patterns of the files that go into its bundle; empty: what Flower takes by itself.
    """
    bundled = f"fab-include = {_toml(list(include))}\n" if include else ""
    return f"""\
[project]
name = {_toml(name)}
version = {_toml(version)}
description = "HQG-Net Federated"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "hqgnet"
{bundled}
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"

[tool.flwr.app.config]
{settings_toml(SETTINGS)}"""


def settings_toml(settings: Mapping[str, Setting]) -> str:
    """Return a run configuration as a TOML file's text.

    Flower's parser of the command line breaks on quotes within strings; a file does not.
    """
    return "".join(f"{name} = {_toml(value)}\n" for name, value in settings.items())


def _toml(value: Setting | list[str]) -> str:
    # JSON's strings, whole numbers, truth values and lists of strings are TOML's too, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
