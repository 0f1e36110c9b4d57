"""One site: give it a key and a kit, withdraw its key, and tell how it stands.

A key is given in three steps: the public half to ``home``, the kit by one rename, the index last. A key that
the index does not name is not admitted, and each step can be taken again after a kill.
"""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from hqgnet.errors import ConfigurationError, OutputError, Problem
from hqgnet.files import write_atomically
from server.federation import Federation
from server.provision.certificates import Authority, make_client_certificate, now
from server.provision.folders import PRIVATE, Content, place_folder, read
from server.provision.kit import Credentials, KitOptions, address_in, kit_contents
from server.provision.site_index import IssuedKey, SiteIndex, public_key_of, save_index
from server.provision.site_keys import KeyPair, belong_together, fingerprint_of, make_key_pair


def new_kit(
    federation: Federation, site: str, options: KitOptions, authority: Authority
) -> tuple[KeyPair, dict[str, Content]]:
    """Make a site's key pair (and client certificate) and the kit around it, in memory.

    Raises:
        ConfigurationError: If the bundle cannot be read.
    """
    pair = make_key_pair(federation.name, site)
    client = None
    if federation.client_certificates:
        days = federation.certificates.client_days
        client = make_client_certificate(authority, federation.name, site, days)
    contents = kit_contents(federation, site, options, authority.certificate, Credentials(pair, client))
    return pair, contents


def hand_out(
    federation: Federation,
    index: SiteIndex,
    site: str,
    out: Path,
    made: tuple[KeyPair, dict[str, Content]],
) -> tuple[SiteIndex, Path | None]:
    """Put a new kit in its place and its key on record.

    Args:
        federation: Which one.
        index: In which the site has no active key.
        site: Whose kit.
        out: Folder of the kits; a kit that is there already is set aside, since a hospital may work in it.
        made: From :func:`new_kit`.

    Returns:
        The index with the new key, and where the former kit lies now.

    Raises:
        OutputError: If the disk refuses.
    """
    pair, contents = made
    kit = out / site
    former = _free_name(kit) if kit.exists() else None
    write_atomically(public_key_of(federation, site), pair.public, mode=PRIVATE)
    place_folder(kit, contents, former=former)
    return record(federation, index, site, kit), former


def record(federation: Federation, index: SiteIndex, site: str, kit: Path) -> SiteIndex:
    """Enter the key of a finished kit into the index.

    Raises:
        ConfigurationError: If the kit's client certificate cannot be read.
        OutputError: If the disk refuses.
    """
    public_key = public_key_of(federation, site)
    client = kit / "keys" / "client.pem"
    certificate = x509.load_pem_x509_certificate(read(client)) if client.exists() else None
    key = IssuedKey(
        name=site,
        fingerprint=fingerprint_of(public_key),
        file=public_key.name,
        issued=now(),
        expires=None if certificate is None else certificate.not_valid_after_utc,
        certificate_serial=None if certificate is None else f"{certificate.serial_number:x}",
    )
    index = index.with_key(key)
    save_index(federation, index)
    return index


def is_unrecorded(federation: Federation, index: SiteIndex, site: str, kit: Path) -> bool:
    """Return whether a kit is finished but for its line in the index: what a kill at the last step leaves."""
    public_key = public_key_of(federation, site)
    return belong_together(kit / "keys" / f"{site}.key", public_key) and not index.knows(
        fingerprint_of(public_key)
    )


def withdraw(federation: Federation, index: SiteIndex, site: str) -> SiteIndex:
    """Revoke a site's active key, if it has one; the public key is kept as ``NAME.revoked-N.pub``.

    Raises:
        ConfigurationError: If the public key cannot be read.
        OutputError: If the disk refuses.
    """
    public_key = public_key_of(federation, site)
    active = index.active(site)
    if active is not None:
        kept = federation.sites_folder / f"{site}.revoked-{len(index.revoked(site)) + 1}.pub"
        write_atomically(kept, read(public_key), mode=PRIVATE)
        withdrawn = active.model_copy(update={"file": kept.name, "revoked": now()})
        index = index.with_replaced(active, withdrawn)
        save_index(federation, index)
    try:
        public_key.unlink(missing_ok=True)
    except OSError as error:
        what = f"cannot be removed ({error.strerror or error})"
        raise OutputError(Problem(str(public_key), what, "Check the folder's permissions")) from error
    return index


def problems_of(federation: Federation, index: SiteIndex, site: str, kit: Path) -> list[Problem]:
    """Return why a site cannot be provisioned; nothing if it can."""
    active, public_key = index.active(site), public_key_of(federation, site)
    if active is not None:
        try:
            if fingerprint_of(public_key) == active.fingerprint:
                return []
        except ConfigurationError as error:
            return list(error.problems)
        what = "is not the key that the index names"
        return [Problem(str(public_key), what, "Restore it from a backup")]
    to_make = not index.revoked(site)
    if to_make and kit.exists() and not is_unrecorded(federation, index, site, kit):
        what = f"is there already, and no kit that {federation.home} knows"
        return [Problem(str(kit), what, "Give another --out, or move it away")]
    return []


def notes_on(federation: Federation, key: IssuedKey, kit: Path) -> tuple[str, ...]:
    """Return what the coordinator should know of a site that was provisioned before."""
    renew = f"`hqgnet-server renew FEDERATION.yaml {key.name} --out {kit.parent}`"
    notes = []
    if not kit.exists():
        notes.append(f"its kit is not in {kit.parent}: handed over, or lost; a new one: {renew}")
    else:
        try:
            same = fingerprint_of(kit / "keys" / f"{key.name}.pub") == key.fingerprint
        except ConfigurationError:
            same = False
        if not same:
            notes.append(f"{kit} does not hold this key; a new kit: {renew}")
        address = address_in(kit)
        if same and address not in (None, federation.server.address):
            notes.append(f"its site.yaml names the server {address}: change it there by hand")
    if federation.client_certificates and key.certificate_serial is None:
        notes.append(f"it has no client certificate; to give it one: {renew}")
    return tuple(notes)


def _free_name(kit: Path) -> Path:
    number = 1
    while (free := kit.with_name(f"{kit.name}.old-{number}")).exists():
        number += 1
    return free
