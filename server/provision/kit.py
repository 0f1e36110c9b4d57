"""A kit: the folder that makes one hospital a member, filled in from the templates beside this module."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from hqgnet import __version__
from hqgnet.config import Modality
from hqgnet.errors import ConfigurationError, Problem
from server.federation import Federation
from server.provision.certificates import certificate_fingerprint, certificate_pem, key_pem
from server.provision.folders import Content
from server.provision.site_keys import KeyPair, fingerprint_in

MAX_BUNDLE_BYTES = 10_000_000  # Flower takes no larger one
_TEMPLATES = ("site.yaml", "compose.yaml", "hqgnet-site.service", "README.md")


@dataclass(frozen=True)
class KitOptions:
    """What the coordinator says about all kits of one call.

    Attributes:
        out: Folder of the kits.
        modality: Put into ``site.yaml``.
        channels: Likewise; 1 or 3.
        bundle: Flower bundle (FAB) to put into the kits, or None.
    """

    out: Path
    modality: Modality = "fundus"
    channels: int = 3
    bundle: Path | None = None

    def read_bundle(self) -> bytes | None:
        """Return the bundle's bytes; None if there is none.

        Raises:
            ConfigurationError: If it cannot be read or is too large.
        """
        if self.bundle is None:
            return None
        try:
            with self.bundle.open("rb") as file:
                data = file.read(MAX_BUNDLE_BYTES + 1)
        except OSError as error:
            what = f"cannot be read ({error.strerror or error})"
            remedy = "Give the .fab file that `flwr build` wrote"
            raise ConfigurationError(Problem(f"--bundle {self.bundle}", what, remedy)) from error
        if not 0 < len(data) <= MAX_BUNDLE_BYTES:
            what = "is empty or larger than 10 MB, which Flower refuses"
            raise ConfigurationError(Problem(f"--bundle {self.bundle}", what, "Build it again"))
        return data


@dataclass(frozen=True)
class Credentials:
    """What proves a site to the server.

    Attributes:
        pair: For Flower's SuperNode.
        client: TLS client certificate and its key, where the federation uses them.
    """

    pair: KeyPair
    client: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None


def kit_contents(
    federation: Federation,
    site: str,
    options: KitOptions,
    authority: x509.Certificate,
    credentials: Credentials,
) -> dict[str, Content]:
    """Return the files of a site's kit by their path within it.

    Args:
        federation: Which one.
        site: Whose kit.
        options: Of this call.
        authority: The federation's certificate.
        credentials: Of the site; their private halves go here and nowhere else.

    Raises:
        ConfigurationError: If the bundle cannot be read.
    """
    contents = {
        f"keys/{site}.key": Content(credentials.pair.private, private=True),
        f"keys/{site}.pub": Content(credentials.pair.public),
        "keys/ca.pem": Content(certificate_pem(authority)),
    }
    values = {
        "site": site,
        "version": __version__,
        "federation": federation.name,
        "address": federation.server.address,
        "modality": options.modality,
        "channels": str(options.channels),
        "ca_fingerprint": certificate_fingerprint(authority),
        "key_fingerprint": fingerprint_in(credentials.pair.public),
        "client_files": "",
        "bundle_files": "",
        "bundle_section": "",
    }
    if credentials.client is not None:
        certificate, key = credentials.client
        contents["keys/client.pem"] = Content(certificate_pem(certificate))
        contents["keys/client.key"] = Content(key_pem(key), private=True)
        values["client_expires"] = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        values["client_files"] = _filled("client_files.md", values)
    bundle = options.read_bundle()
    if bundle is not None:
        contents["hqgnet.fab"] = Content(bundle)
        values["bundle_sha256"] = hashlib.sha256(bundle).hexdigest()
        values["bundle_files"] = _filled("bundle_files.md", values)
        values["bundle_section"] = _filled("bundle_section.md", values)
    return contents | {name: Content(_filled(name, values).encode()) for name in _TEMPLATES}


def address_in(kit: Path) -> str | None:
    """Return the server's address that a kit's ``site.yaml`` names; None if it cannot be told."""
    try:
        return str(yaml.safe_load((kit / "site.yaml").read_text(encoding="utf-8"))["server"]["address"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        return None


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = files("server.provision").joinpath("templates", name).read_text(encoding="utf-8")
    return Template(text).substitute(values)
