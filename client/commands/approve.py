"""``hqgnet-client approve``: look at the code that a federation wants to run here, and say yes or no."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.approvals import Approvals
    from client.bundle import Bundle

_BESIDE = "hqgnet.fab"


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    parser = commands.add_parser("approve", help="look at code from the server, and let it run here")
    parser.add_argument("site", type=Path, metavar="SITE.yaml")
    help_ = f"look at this one (default: those that the server sent, and {_BESIDE} beside SITE.yaml)"
    parser.add_argument("--bundle", type=Path, metavar="FILE.fab", help=help_)
    help_ = "only the one with this SHA-256, as the coordinator told it by another way"
    parser.add_argument("--sha256", metavar="HEX", type=str.lower, help=help_)
    parser.add_argument("--diff", action="store_true", help="print every changed line")
    parser.add_argument("--yes", action="store_true", help="approve without asking")
    help_ = "withdraw an approval instead"
    parser.add_argument("--revoke", metavar="HEX", type=str.lower, help=help_)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Show bundles and approve them, or withdraw an approval.

    Raises:
        ConfigurationError: If there is nothing to approve, or another one than expected, or nobody to ask, or
            if the daemon is another user's, who could not read the approval.
    """
    from client.approvals import Approvals
    from hqgnet.data.site_config import load_site_config

    work = load_site_config(arguments.site).work
    _check_user(work)
    approvals = Approvals(work)
    if arguments.revoke:
        _revoke(approvals, arguments.revoke)
        return
    candidates = _candidates(arguments, approvals)
    if len(candidates) > 1 and arguments.yes:
        raise _problem(
            "the bundles", f"{len(candidates)} wait: {', '.join(candidates)}", "Say which one with --sha256"
        )
    for data in candidates.values():
        _decide(approvals, data, arguments)


def _check_user(work: Path) -> None:
    """Refuse to write for another user's daemon: root, say, would leave files that are root's alone."""
    import os

    from client.audit import AUDIT_FILE

    try:
        owner = (work / AUDIT_FILE).stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        what = f"is user {owner}'s, who could not read what user {os.geteuid()} approves"
        raise _problem(str(work / AUDIT_FILE), what, "Run this as the daemon's user")


def _candidates(arguments: argparse.Namespace, approvals: Approvals) -> dict[str, bytes]:
    """Return the bundles to look at, by SHA-256."""
    from client.bundle import sha256_of

    if arguments.bundle:
        found = [_read(arguments.bundle)]
    else:
        beside = arguments.site.parent / _BESIDE
        kept = [approvals.bundle(sha256) for sha256 in approvals.pending()]
        found = [data for data in kept if data is not None] + ([_read(beside)] if beside.exists() else [])
    bundles = {sha256_of(data): data for data in found}
    if arguments.sha256:
        if arguments.sha256 not in bundles:
            what = f"has SHA-256 {', '.join(bundles) or 'nothing: none is there'}, not {arguments.sha256}"
            remedy = "Approve nothing, and ask the coordinator which bundle is theirs"
            raise _problem("the bundle", what, remedy)
        bundles = {arguments.sha256: bundles[arguments.sha256]}
    if not bundles:
        remedy = "Give one with --bundle, or let hqgnet-client up run until the server has sent one"
        raise _problem("the bundle", "none waits for approval", remedy)
    return bundles


def _decide(approvals: Approvals, data: bytes, arguments: argparse.Namespace) -> None:
    from client.bundle import read_bundle

    bundle = read_bundle(data)
    if approvals.is_approved(bundle.sha256):
        sys.stdout.write(f"{bundle.sha256} is approved already\n")
        return
    sys.stdout.write(_page(bundle, approvals, with_diff=arguments.diff))
    sys.stdout.flush()
    if not arguments.yes:
        if not sys.stdin.isatty():
            remedy = f"Look at it in a terminal, or add --yes --sha256 {bundle.sha256}"
            raise _problem("the bundle", "is not approved: nobody is there to be asked", remedy)
        if input("Approve? [y/N] ").strip().lower() not in ("y", "yes"):
            sys.stdout.write("not approved\n")
            return
    approvals.approve(data, _who())
    sys.stdout.write(f"approved {bundle.sha256}\n")


def _who() -> str:
    """Who says yes: the account's name, or its number where a container has no account for it."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _revoke(approvals: Approvals, sha256: str) -> None:
    if not approvals.revoke(sha256, _who()):
        known = ", ".join(approval.sha256 for approval in approvals.approved()) or "none"
        raise _problem("the bundle", f"{sha256[:64]} is not approved", f"Approved are: {known}")
    sys.stdout.write(f"revoked {sha256}; a running daemon takes no more work for it, and sends none of it\n")


def _page(bundle: Bundle, approvals: Approvals, *, with_diff: bool) -> str:
    from client.bundle import read_bundle
    from client.bundle_changes import changes, difference, differs_from_installed, outside_packages
    from hqgnet import __version__

    size = sum(len(content) for content in bundle.files.values())
    lines = [f"bundle     {bundle.sha256}", f"files      {len(bundle.files)}, {size:,} bytes"]
    lines += [f"           {path:<52s} {len(content):>9,}" for path, content in bundle.files.items()]
    strays = outside_packages(bundle)
    if strays:
        lines.append(f"WARNING    outside our packages, and found by Python first: {', '.join(strays)}")
    others = differs_from_installed(bundle)
    told = "same as the installed" if not others else f"{_files(len(others))} not as in the installed"
    lines.append(f"code       {told} hqgnet {__version__}")
    lines += [f"           {path}" for path in others]
    latest = approvals.latest_approved()
    before = None if latest is None else approvals.bundle(latest.sha256)
    if latest is None or before is None:
        lines.append("changes    nothing to compare with: no bundle was approved before")
        return "\n".join(lines) + "\n"
    old = read_bundle(before).files
    changed = changes(old, bundle.files)
    lines.append(f"changes    {_files(len(changed))} since {latest.sha256[:16]} ({latest.at}, {latest.by})")
    lines += [f"         {c.mark} {c.path:<52s} +{c.added} -{c.removed}" for c in changed]
    if with_diff:
        lines += [line for change in changed for line in difference(change.path, old, bundle.files)]
    return "\n".join(lines) + "\n"


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _read(file: Path) -> bytes:
    from client.bundle import LARGEST_BUNDLE

    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST_BUNDLE + 1)
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise _problem(str(file), what, "Give the bundle that the coordinator sent") from error


def _problem(where: str, what: str, remedy: str) -> Exception:
    from hqgnet.errors import ConfigurationError, Problem

    return ConfigurationError(Problem(where, what, remedy))
