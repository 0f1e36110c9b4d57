"""How a federation's server stands: collected, and written on one page."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import asdict, dataclass
from typing import Any

from hqgnet.errors import ExitCode
from server.federation import Federation
from server.launch.addresses import local_address
from server.launch.database import LinkDatabase, Node
from server.launch.glance import RunProgress, latest_runs
from server.launch.health import answers, health
from server.launch.registration import registered_sites
from server.launch.service import running_service
from server.provision.expiry import expiring

_RUNS_SHOWN = 5
_GOING_ON = ("submitted", "running", "died")
_DAY_S, _HOUR_S, _MINUTE_S = 86400, 3600, 60


@dataclass(frozen=True)
class SiteStatus:
    """One hospital.

    Attributes:
        name: Of the site.
        state: ``online``, ``offline``, ``never seen``, or ``not registered``.
        last_seen: When it last came, ISO 8601; None if never.
        card: What it last said of its data: numbers of images, and whether there are masks or grades.
    """

    name: str
    state: str
    last_seen: str | None
    card: dict[str, Any] | None


@dataclass(frozen=True)
class ServerStatus:
    """All of it.

    Attributes:
        federation: Its name.
        address: Where this machine reaches the SuperLink.
        answers: Whether it answers over TLS.
        health: What its health service says.
        service: What ``hqgnet-server up`` says of itself; None if it does not run.
        database_bytes: Size of the SuperLink's database.
        sites: Those of the federation file.
        runs: Those that changed last, the latest first.
        warnings: Certificates that end soon, and what could not be read.
    """

    federation: str
    address: str
    answers: bool
    health: str
    service: dict[str, Any] | None
    database_bytes: int
    sites: tuple[SiteStatus, ...]
    runs: tuple[RunProgress, ...]
    warnings: tuple[str, ...]

    @property
    def is_up(self) -> bool:
        """Whether hospitals can be served."""
        return self.answers and self.health == "SERVING"

    def to_json(self) -> str:
        """Return it for programs."""
        return json.dumps({"up": self.is_up, **asdict(self)}, indent=2)


def status_of(federation: Federation) -> ServerStatus:
    """Collect it; what cannot be read becomes a warning.

    Raises:
        ConfigurationError: If keys or certificates cannot be read.
    """
    runs = tuple(latest_runs(federation.runs, _RUNS_SHOWN))
    warnings = [str(end) for end in expiring(federation)]
    database = LinkDatabase(federation.database)
    try:
        nodes = registered_sites(federation)
    except sqlite3.Error as error:
        nodes = {}
        warnings.append(f"{federation.database} cannot be read ({error})")
    is_up = answers(federation)
    cards = {card["name"]: card for run in reversed(runs) for card in run.cards}
    sites = tuple(
        _site(name, nodes.get(name), cards.get(name), server_is_up=is_up) for name in federation.site_names
    )
    return ServerStatus(
        federation.name,
        local_address(federation),
        is_up,
        health(federation),
        running_service(federation),
        database.bytes,
        sites,
        runs,
        tuple(warnings),
    )


def page(status: ServerStatus) -> str:
    """Return it for people."""
    service = status.service
    up = f"up, process {service['pid']}" if service else "not run by hqgnet-server up"
    restarts = service["superlink_starts"] - 1 if service else 0
    lines = [
        f"federation {status.federation}",
        f"  server    {status.address}  {'answers' if status.answers else 'does not answer'}, "
        f"health {status.health}, {up}" + (f", SuperLink restarted {restarts} times" if restarts else ""),
        f"  database  {status.database_bytes / 2**20:.1f} MiB",
        "",
        f"sites     {sum(site.state == 'online' for site in status.sites)} of {len(status.sites)} online",
    ]
    width = max(len(site.name) for site in status.sites)
    for site in status.sites:
        seen = f"last came {site.last_seen[:19].replace('T', ' ')}" if site.last_seen else ""
        lines.append(f"  {site.name:<{width}}  {site.state:<14}  {_card(site.card):<32}  {seen}".rstrip())
    lines += ["", "runs" if status.runs else "runs      none yet"]
    lines += [_run_line(run) for run in status.runs]
    if status.warnings:
        lines += ["", *(f"warning: {warning}" for warning in status.warnings)]
    return "\n".join(lines)


def _site(name: str, node: Node | None, card: dict[str, Any] | None, *, server_is_up: bool) -> SiteStatus:
    if node is None:
        return SiteStatus(name, "not registered", None, card)
    absent = "offline" if node.last_seen else "never seen"
    state = "online" if server_is_up and node.is_online() else absent
    return SiteStatus(name, state, node.last_seen, card)


def _card(card: dict[str, Any] | None) -> str:
    if card is None:
        return "no data card yet"
    labels = " and ".join(kind for kind in ("masks", "grades") if card.get(kind)) or "no masks"
    return f"{card['lq']} LQ, {card['hq']} HQ, {labels}"


def _run_line(run: RunProgress) -> str:
    where = f"{run.phase} {run.round}/{run.rounds}" if run.phase else ""
    if run.state in _GOING_ON:
        pace = f"{run.seconds:.1f} s a round" if run.seconds is not None else ""
        state = {"died": "died; goes on with run --resume"}.get(run.state, run.state)
    else:
        pace = f"{_ago(run.changed)} ago"
        state = "stopped" if run.exit_code == ExitCode.INTERRUPTED else run.state
    line = f"  {run.name:<20}  {state:<10}  {where:<18}  {pace}".rstrip()
    failed = run.state == "failed" and run.exit_code != ExitCode.INTERRUPTED
    if failed:
        line += f"\n    exit code {run.exit_code}: {run.reason}"
    if run.state in _GOING_ON:
        line += "".join(f"\n    left out: {reason}" for reason in run.left_out)
    return line


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
