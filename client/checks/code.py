"""The federation's code at this site: which bundle is approved, which waits to be looked at."""

from __future__ import annotations

import tomllib
from pathlib import Path

from client.approvals import Approvals
from client.bundle import read_bundle, sha256_of
from client.checks.finding import Finding, from_problem
from hqgnet import __version__
from hqgnet.data.site_config import SiteConfig
from hqgnet.errors import ConfigurationError

KIT_BUNDLE = "hqgnet.fab"  # where a kit has it: beside the site file


def check_code(file: Path, config: SiteConfig) -> list[Finding]:
    """Say which code may run here. Before the first approval that is none, which is no mistake."""
    approvals = Approvals(config.work)
    command = f"hqgnet-client approve {file}"
    try:
        findings = [_approved(approvals, command)]
        waiting = approvals.pending()
        in_kit = file.parent / KIT_BUNDLE
        if in_kit.is_file() and not approvals.is_approved(sha256 := sha256_of(in_kit.read_bytes())):
            waiting = [*waiting, sha256]
    except ConfigurationError as error:
        return [from_problem("Versions and code", "approvals", problem) for problem in error.problems]
    if waiting := list(dict.fromkeys(waiting)):
        what = f"{len(waiting)} to look at: {', '.join(waiting)}"
        findings.append(Finding("Versions and code", "waiting code", "warning", what, command))
    return findings


def _approved(approvals: Approvals, command: str) -> Finding:
    title = "approved code"
    latest = approvals.latest_approved()
    if latest is None:
        what = "nothing approved yet: nothing that the server asks for would run"
        return Finding("Versions and code", title, "warning", what, command)
    detail = f"{latest.sha256} (by {latest.by}, {latest.at})"
    data = approvals.bundle(latest.sha256)
    if data is None:
        what = f"{detail} is no longer kept here, or was changed"
        return Finding("Versions and code", title, "warning", what, "The server will send it again")
    try:
        project = tomllib.loads(read_bundle(data).files["pyproject.toml"].decode())["project"]
        carried = str(project["version"])
    except (KeyError, ValueError):
        carried = "an unknown version"
    if carried != __version__:
        what = f"{detail} is of {carried}, installed is hqgnet {__version__}"
        remedy = "Install the version that the coordinator runs, so that both ends agree"
        return Finding("Versions and code", title, "warning", what, remedy)
    return Finding("Versions and code", title, "ok", f"{detail}, version {carried}")
