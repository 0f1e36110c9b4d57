"""``hqgnet-client status``: what the daemon of a site does."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from hqgnet.errors import ExitCode


def add_parser(commands: Any) -> None:
    """Add the sub-command's parser."""
    parser = commands.add_parser("status", help="show what the site's daemon does, and whether it runs")
    parser.add_argument("site", type=Path, metavar="SITE.yaml")
    parser.add_argument("--json", action="store_true", help="print the daemon's status file as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the status; return 20 where no daemon runs, for whoever watches it."""
    from client.daemon.status import read_status
    from hqgnet.data.site_config import load_site_config

    facts = read_status(load_site_config(arguments.site).work)
    sys.stdout.write(f"{json.dumps(facts, indent=1)}\n" if arguments.json else page(arguments.site, facts))
    return ExitCode.OK if facts["running"] else ExitCode.RUN_FAILED


def page(file: Path, facts: dict[str, Any], now: float | None = None) -> str:
    """Return what a person reads.

    Args:
        file: The site's YAML.
        facts: From :func:`client.daemon.status.read_status`.
        now: Seconds since 1970; None for this moment.
    """
    now = time.time() if now is None else now
    lines = []
    if facts["running"]:
        lines.append(
            f"daemon      runs (process {facts.get('pid')}) {_ago('since', facts.get('started'), now)}"
        )
        reason = f" ({facts['reason']})" if facts.get("reason") else ""
        lines.append(f"server      {facts.get('server')}: {facts.get('connection')}{reason}")
        lines.append(f"node        {facts.get('node') or 'not known yet'}")
        lines.append(f"doing       {facts.get('doing')} {_ago('since', facts.get('since'), now)}".rstrip())
    else:
        lines.append(f"daemon      does not run; start it with hqgnet-client up {file}")
    if message := facts.get("last_message"):
        about = " ".join(str(value) for name, value in message.items() if name != "at")
        lines.append(f"message     {about}, {_ago('', message.get('at'), now)}")
    if answer := facts.get("last_answer"):
        lines.append(f"answer      {answer['told']} after {answer['seconds']:.1f} s")
    if facts.get("code"):
        lines.append(f"code        {facts['code']}")
    if facts.get("epsilon") is not None:
        lines.append(f"privacy     epsilon {facts['epsilon']:.3g} spent")
    return "\n".join([f"{facts.get('site', file)}", *(f"  {line}" for line in lines)]) + "\n"


def _ago(word: str, moment: object, now: float) -> str:
    if not isinstance(moment, int | float):
        return ""
    seconds = max(0, round(now - moment))
    hours, minutes = seconds // 3600, seconds // 60
    span = f"{hours} h" if hours >= 2 else f"{minutes} min" if minutes >= 2 else f"{seconds} s"
    return f"{word} {span}".strip() if word else f"{span} ago"
