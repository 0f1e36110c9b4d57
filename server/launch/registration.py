"""The provisioned sites' keys and the SuperLink's registrations, made to agree."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from hqgnet.errors import ConfigurationError, Problem
from server.federation import Federation, load_federation
from server.launch.control import FlowerControl
from server.launch.database import LinkDatabase, Node
from server.provision.site_index import active_keys

_UNREGISTERED = "unregistered"


@dataclass(frozen=True)
class Registration:
    """What became of it.

    Attributes:
        sites: Active sites and their nodes.
        lines: What was changed, or cannot be, for the log.
    """

    sites: dict[str, Node]
    lines: tuple[str, ...]


def register_sites(federation: Federation, control: FlowerControl) -> Registration:
    """Register the active sites' keys, and unregister every other: revoked, or not of our index.

    Doing it again changes nothing.

    Raises:
        ConfigurationError: If the index or a key cannot be read.
        ServerDownError: If the SuperLink does not answer.
        RunFailedError: If it refuses.
    """
    database = LinkDatabase(federation.database)
    active = {name: canonical_key(file) for name, file in active_keys(federation).items()}
    before = {node.public_key: node for node in database.nodes()}
    lines = []
    for name, key in active.items():
        node = before.get(key)
        if node is None:
            control.register(federation.sites_folder / active_keys(federation)[name].name, name)
            lines.append(f"{name}: registered")
        elif node.status == _UNREGISTERED:
            lines.append(f"{name}: its key was shut out once, for good; give it a new one: renew {name}")
    for key, node in before.items():
        if key not in active.values() and node.status != _UNREGISTERED:
            control.unregister(node.identifier)
            lines.append(f"node {node.identifier}: its key is not active any more; unregistered")
    return Registration(registered_sites(federation), tuple(lines))


def registered_sites(federation: Federation) -> dict[str, Node]:
    """Return the active sites that the SuperLink lets in, and their nodes.

    Raises:
        ConfigurationError: If the index or a key cannot be read.
    """
    nodes = {
        node.public_key: node
        for node in LinkDatabase(federation.database).nodes()
        if node.status != _UNREGISTERED
    }
    keys = {name: canonical_key(file) for name, file in active_keys(federation).items()}
    return {name: nodes[key] for name, key in keys.items() if key in nodes}


def registered_name(file: Path, node_id: int) -> str | None:
    """Return the site to which the key of a node was given; None if to no active site.

    Args:
        file: The federation's YAML, read anew, since sites come and go while a run goes on.
        node_id: Flower's, unsigned.

    Raises:
        ConfigurationError: If it cannot be told, since the file, the index or the database cannot be read.
    """
    federation = load_federation(file)
    try:
        sites = registered_sites(federation)
    except sqlite3.Error as error:
        what = f"cannot be read ({error})"
        problem = Problem(str(federation.database), what, "Is it the one of the running server?")
        raise ConfigurationError(problem) from error
    return next((name for name, node in sites.items() if node.identifier == node_id), None)


def canonical_key(file: Path) -> bytes:
    """Return a public key in OpenSSH's format as the SuperLink stores it (PEM).

    Raises:
        ConfigurationError: If it cannot be read.
    """
    try:
        key = serialization.load_ssh_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        what = "is no public key in OpenSSH's format"
        raise ConfigurationError(
            Problem(str(file), what, "Run `hqgnet-server renew` for this site")
        ) from error
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
