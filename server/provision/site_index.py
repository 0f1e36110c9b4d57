"""Which key was given to which site, when, and which were revoked: the file ``home/sites/index.json``."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from hqgnet.config import NAME_PATTERN
from hqgnet.errors import ConfigurationError, Problem
from hqgnet.files import write_atomically
from hqgnet.yaml_files import validate_mapping
from server.federation import Federation
from server.provision.folders import PRIVATE, read


class IssuedKey(BaseModel):
    """One key pair that was given to a site; the server knows its public half only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN, description="the site")
    fingerprint: str = Field(
        pattern=r"^SHA256:[A-Za-z0-9+/]{43}$", description="of the public key, as ssh-keygen shows it"
    )
    file: str = Field(
        pattern=r"^[a-z0-9-]+(\.revoked-[0-9]+)?\.pub$", description="the public key, in the same folder"
    )
    issued: AwareDatetime = Field(description="when")
    expires: AwareDatetime | None = Field(
        None, description="end of the client certificate; null without one (the key itself has no end)"
    )
    certificate_serial: str | None = Field(
        None, pattern=r"^[0-9a-f]{1,40}$", description="serial number of the client certificate, hexadecimal"
    )
    revoked: AwareDatetime | None = Field(None, description="since when the key is not admitted; null: it is")


class SiteIndex(BaseModel):
    """All keys ever given out, in the order of their making."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[IssuedKey, ...] = Field((), description="active and revoked keys")

    def active(self, name: str) -> IssuedKey | None:
        """Return the key that a site may use now."""
        return next((key for key in self.keys if key.name == name and key.revoked is None), None)

    def revoked(self, name: str) -> tuple[IssuedKey, ...]:
        """Return the keys that a site may no longer use."""
        return tuple(key for key in self.keys if key.name == name and key.revoked is not None)

    def knows(self, fingerprint: str) -> bool:
        """Return whether a key was ever finished, revoked or not."""
        return any(key.fingerprint == fingerprint for key in self.keys)

    def with_key(self, key: IssuedKey) -> SiteIndex:
        """Return the index with one key more."""
        return SiteIndex(keys=(*self.keys, key))

    def with_replaced(self, old: IssuedKey, new: IssuedKey) -> SiteIndex:
        """Return the index with ``new`` in the place of ``old``."""
        return SiteIndex(keys=tuple(new if key == old else key for key in self.keys))


def load_index(federation: Federation) -> SiteIndex:
    """Read the index; before the first site was provisioned it is empty.

    Raises:
        ConfigurationError: If it is damaged, or missing beside keys that it must name.
    """
    path = federation.sites_index
    if not path.exists():
        if any(federation.sites_folder.glob("*.pub")):
            what = "is missing, though sites have keys"
            raise ConfigurationError(Problem(str(path), what, "Restore it from a backup"))
        return SiteIndex()
    try:
        mapping = json.loads(read(path))
    except ValueError:
        mapping = None
    return validate_mapping(mapping, SiteIndex, str(path))


def save_index(federation: Federation, index: SiteIndex) -> None:
    """Write the index.

    Raises:
        OutputError: If the disk refuses.
    """
    data = json.dumps(index.model_dump(mode="json"), indent=2) + "\n"
    write_atomically(federation.sites_index, data.encode(), mode=PRIVATE)


def public_key_of(federation: Federation, site: str) -> Path:
    """Return where the public key that a site may use now lies."""
    return federation.sites_folder / f"{site}.pub"


def active_keys(federation: Federation) -> dict[str, Path]:
    """Return the public key of each site that may connect: in the YAML, provisioned, not revoked.

    Raises:
        ConfigurationError: If the index is damaged.
    """
    index = load_index(federation)
    keys = {name: index.active(name) for name in federation.site_names}
    return {name: federation.sites_folder / key.file for name, key in keys.items() if key is not None}


def revoked_keys(federation: Federation) -> list[Path]:
    """Return the public keys that must not connect: revoked, or of a site that left the YAML.

    Raises:
        ConfigurationError: If the index is damaged.
    """
    return [
        federation.sites_folder / key.file
        for key in load_index(federation).keys
        if key.revoked is not None or key.name not in federation.site_names
    ]
