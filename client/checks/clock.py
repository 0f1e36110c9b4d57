"""The clock: Flower signs every message with the time, and refuses what is too old or of the future."""

from __future__ import annotations

import ipaddress
from email.utils import parsedate_to_datetime

from client.checks.finding import Finding
from client.checks.probe import Answer, Probe

# Flower 1.41.0 refuses a message signed 5 s or more in the server's future, or 305 s in its past
# (SYSTEM_TIME_TOLERANCE and TIMESTAMP_TOLERANCE in flwr.common.constant).
MOST_AHEAD_S = 5.0
MOST_BEHIND_S = 60.0
_NOTABLE_AHEAD_S = 3.0
_NOTABLE_BEHIND_S = 30.0
_REMEDY = "Set this machine's clock by the network (timedatectl set-ntp true), or ask the coordinator to"


def check_clock(probe: Probe) -> list[Finding]:
    """Compare this machine's clock with the server's."""
    answer = probe.fleet
    ahead = seconds_ahead(answer) if isinstance(answer, Answer) else None
    if ahead is None:
        what = "unknown: the server gave no time over a trusted connection"
        return [Finding("Clock", "skew", "warning", what, "Mend the connection first, then check again")]
    detail = f"{abs(ahead):.0f} s {'ahead of' if ahead >= 0 else 'behind'} the server's"
    if not -MOST_BEHIND_S <= ahead < MOST_AHEAD_S:
        what = f"{detail}; Flower refuses clocks 5 s ahead or 5 minutes behind"
        return [Finding("Clock", "skew", "problem", what, _REMEDY)]
    if not -_NOTABLE_BEHIND_S <= ahead < _NOTABLE_AHEAD_S:
        return [Finding("Clock", "skew", "warning", f"{detail}, near what Flower refuses", _REMEDY)]
    here = probe.peer is not None and ipaddress.ip_address(probe.peer.partition("%")[0]).is_loopback
    note = "; answered on this machine, so a proxy there would tell its own time" if here else ""
    return [Finding("Clock", "skew", "ok", f"{detail} (to about a second{note})")]


def seconds_ahead(answer: Answer) -> float | None:
    """Return how far this machine's clock is ahead of the server's; None if the server does not say.

    The header counts whole seconds, so half a second is added to it.
    """
    try:
        server = parsedate_to_datetime(answer.date or "").timestamp() + 0.5
    except ValueError:
        return None
    return (answer.asked + answer.answered) / 2 - server
