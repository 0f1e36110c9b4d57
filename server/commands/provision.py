"""``hqgnet-server provision``, ``renew`` and ``revoke``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server.commands import Commands
    from server.provision.kit import KitOptions

_MODALITIES = ("fundus", "ccm", "colonoscopy")


def add_parser(commands: Commands) -> None:
    """Add the three commands to the parser of ``hqgnet-server``."""
    provision = commands.add_parser("provision", help="make certificates and a kit for each site")
    _add_federation(provision)
    _add_kit_options(provision)
    provision.set_defaults(run=_provision)

    renew = commands.add_parser("renew", help="replace the server's certificate, or a site's key and kit")
    _add_federation(renew)
    renew.add_argument("what", metavar="server|SITE")
    _add_kit_options(renew)
    renew.set_defaults(run=_renew)

    revoke = commands.add_parser("revoke", help="withdraw a site's key")
    _add_federation(revoke)
    revoke.add_argument("site", metavar="SITE")
    revoke.set_defaults(run=_revoke)


def _add_federation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("federation", type=Path, metavar="FEDERATION.yaml")


def _add_kit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("kits"), metavar="DIR", help="folder of the kits (kits)"
    )
    parser.add_argument(
        "--modality", choices=_MODALITIES, default="fundus", help="put into new kits (fundus)"
    )
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3, help="put into new kits (3)")
    parser.add_argument("--bundle", type=Path, metavar="FILE.fab", help="code to put into new kits")


def _provision(arguments: argparse.Namespace) -> None:
    from server.federation import load_federation
    from server.provision.provision import provision

    report = provision(load_federation(arguments.federation), _kit_options(arguments))
    sys.stdout.write(str(report))


def _renew(arguments: argparse.Namespace) -> None:
    from server.federation import load_federation
    from server.provision.provision import renew

    report = renew(load_federation(arguments.federation), arguments.what, _kit_options(arguments))
    sys.stdout.write(str(report))


def _revoke(arguments: argparse.Namespace) -> None:
    from server.federation import load_federation
    from server.provision.provision import revoke

    sys.stdout.write(str(revoke(load_federation(arguments.federation), arguments.site)))


def _kit_options(arguments: argparse.Namespace) -> KitOptions:
    from server.provision.kit import KitOptions

    return KitOptions(arguments.out.absolute(), arguments.modality, arguments.channels, arguments.bundle)
