"""``hqgnet-client audit verify``: whether the site's record of what left it is as it was written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    audit = commands.add_parser("audit", help="the site's record of what was asked and what left")
    actions = audit.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="check that no line was changed, taken out or put in")
    verify.add_argument("path", type=Path, metavar="SITE.yaml|FILE", help="the site, or an audit log")
    verify.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check the chain and print its length, head and time span."""
    from hqgnet.commands.audit import verify_audit
    from hqgnet.data.site_config import load_site_config

    path: Path = arguments.path
    verify_audit(load_site_config(path).work if path.suffix in (".yaml", ".yml") else path)
