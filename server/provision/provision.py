"""``provision``, ``renew`` and ``revoke``: make what is missing, replace one thing, withdraw one site."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from hqgnet.errors import ConfigurationError, Problem
from server.federation import AUTHORITY, SERVER, Federation
from server.provision.certificates import Authority, certificate_fingerprint, names_in
from server.provision.expiry import expiring
from server.provision.folders import make_private_folder, own_home
from server.provision.home import (
    ensure_authority,
    ensure_server_certificate,
    ensure_superexec_secret,
    load_authority,
    renew_server_certificate,
    update_revocation_list,
)
from server.provision.kit import KitOptions
from server.provision.report import Report, Row, State
from server.provision.site_index import SiteIndex, load_index, save_index
from server.provision.sites import (
    hand_out,
    is_unrecorded,
    new_kit,
    notes_on,
    problems_of,
    record,
    withdraw,
)


def provision(federation: Federation, options: KitOptions) -> Report:
    """Make what is missing of authority, server certificate, secrets and kits; leave the rest as it is.

    Args:
        federation: From :func:`server.federation.load_federation`.
        options: Where the kits go, and what is put into new ones.

    Raises:
        ConfigurationError: If home is open to others, something in it is damaged, or a foreign folder stands
            where a kit would go; all that is found, before any kit is made.
        OutputError: If the disk refuses; the same call goes on from there.
    """
    _check_out(federation, options.out)
    with own_home(federation):
        index = load_index(federation)
        problems = [
            problem
            for site in federation.site_names
            for problem in problems_of(federation, index, site, options.out / site)
        ]
        if problems:
            raise ConfigurationError(problems)
        options.read_bundle()
        authority, authority_is_new = ensure_authority(federation, index)
        if not federation.sites_index.exists():
            save_index(federation, index)
        certificate, certificate_is_new = ensure_server_certificate(federation, authority)
        ensure_superexec_secret(federation)
        make_private_folder(options.out)
        rows = [
            _certificate_row(AUTHORITY, "new" if authority_is_new else "kept", authority.certificate),
            _certificate_row(
                SERVER,
                "new" if certificate_is_new else "kept",
                certificate,
                _names_note(federation, certificate),
            ),
        ]
        for site in federation.site_names:
            before, kit = index, options.out / site
            index = _complete(federation, index, site, options, authority)
            rows.append(_site_row(federation, index, site, kit, "kept" if index is before else "new"))
        rows += _unlisted(federation, index)
        update_revocation_list(federation, authority, index)
        return _report(federation, rows)


def renew(federation: Federation, what: str, options: KitOptions) -> Report:
    """Replace the server's certificate, or one site's key pair, client certificate and kit.

    The authority stays, so all (other) kits stay valid. A site's former key is revoked before the new one is
    given; its former kit is set aside, not removed.

    Args:
        federation: A provisioned one.
        what: ``server`` or the name of a site.
        options: As for :func:`provision`.

    Raises:
        ConfigurationError: If there is no such site, or nothing was provisioned yet.
        OutputError: If the disk refuses; the same call goes on from there.
    """
    _check_out(federation, options.out)
    if what not in (SERVER, *federation.site_names):
        remedy = f"Name one of: {', '.join((SERVER, *federation.site_names))}"
        raise ConfigurationError(Problem(what, "is no site of this federation", remedy))
    with own_home(federation):
        index = load_index(federation)
        authority = load_authority(federation)
        if what == SERVER:
            certificate = renew_server_certificate(federation, authority)
            return _report(federation, [_certificate_row(SERVER, "renewed", certificate)])
        made = new_kit(federation, what, options, authority)
        make_private_folder(options.out)
        index = withdraw(federation, index, what)
        index, former = hand_out(federation, index, what, options.out, made)
        update_revocation_list(federation, authority, index)
        notes = () if former is None else (f"its former kit lies in {former}",)
        row = _site_row(federation, index, what, options.out / what, "renewed", notes)
        return _report(federation, [row])


def revoke(federation: Federation, site: str) -> Report:
    """Withdraw a site's key for good; :func:`renew` would give it a new one.

    Args:
        federation: A provisioned one.
        site: Also one that has left the YAML.

    Raises:
        ConfigurationError: If no key was ever given to such a site.
        OutputError: If the disk refuses; the same call goes on from there.
    """
    with own_home(federation):
        index = load_index(federation)
        known = sorted({key.name for key in index.keys})
        if site not in known:
            remedy = f"Name one of: {', '.join(known)}" if known else "Run `hqgnet-server provision` first"
            raise ConfigurationError(Problem(site, "was never given a key", remedy))
        index = withdraw(federation, index, site)
        if federation.client_certificates:
            update_revocation_list(federation, load_authority(federation), index)
        key = index.revoked(site)[-1]
        return _report(federation, [Row(site, "revoked", key.fingerprint)])


def _complete(
    federation: Federation, index: SiteIndex, site: str, options: KitOptions, authority: Authority
) -> SiteIndex:
    """Give a site that never had one its key and kit; a site that was revoked stays so."""
    if index.active(site) is not None:
        return index
    if is_unrecorded(federation, index, site, options.out / site):
        return record(federation, index, site, options.out / site)
    if index.revoked(site):
        return index
    made = new_kit(federation, site, options, authority)
    return hand_out(federation, index, site, options.out, made)[0]


def _site_row(
    federation: Federation,
    index: SiteIndex,
    site: str,
    kit: Path,
    state: State,
    notes: tuple[str, ...] = (),
) -> Row:
    key = index.active(site)
    if key is None:
        key = index.revoked(site)[-1]
        remedy = f"to admit it again: `hqgnet-server renew FEDERATION.yaml {site} --out {kit.parent}`"
        return Row(site, "revoked", key.fingerprint, notes=(remedy,))
    return Row(site, state, key.fingerprint, key.expires, (*notes, *notes_on(federation, key, kit)))


def _certificate_row(
    name: str, state: State, certificate: x509.Certificate, notes: tuple[str, ...] = ()
) -> Row:
    return Row(name, state, certificate_fingerprint(certificate), certificate.not_valid_after_utc, notes)


def _names_note(federation: Federation, certificate: x509.Certificate) -> tuple[str, ...]:
    lacking = set(federation.server.certificate_names) - names_in(certificate)
    if not lacking:
        return ()
    remedy = "to add it: `hqgnet-server renew FEDERATION.yaml server`"
    return (f"it is not valid for {', '.join(sorted(lacking))}; {remedy}",)


def _unlisted(federation: Federation, index: SiteIndex) -> list[Row]:
    note = "it has left the YAML and is not admitted; for good: `hqgnet-server revoke FEDERATION.yaml {}`"
    return [
        Row(key.name, "not listed", key.fingerprint, key.expires, (note.format(key.name),))
        for key in index.keys
        if key.revoked is None and key.name not in federation.site_names
    ]


def _report(federation: Federation, rows: list[Row]) -> Report:
    return Report(federation.name, federation.home, tuple(rows), tuple(expiring(federation)))


def _check_out(federation: Federation, out: Path) -> None:
    """A site's private key must not come to lie in the server's home."""
    if out.resolve().is_relative_to(federation.home.resolve()):
        what = f"lies in home ({federation.home}), where no site's private key may be"
        raise ConfigurationError(Problem(f"--out {out}", what, "Give a folder beside it"))
