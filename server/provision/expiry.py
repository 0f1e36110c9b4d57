"""Which certificates end soon."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from server.federation import AUTHORITY, SERVER, Federation
from server.provision.certificates import now
from server.provision.home import load_certificate
from server.provision.site_index import load_index

WARN_DAYS = 30


@dataclass(frozen=True)
class Expiry:
    """A certificate that ends soon, or has ended.

    Attributes:
        name: ``authority``, ``server`` or a site.
        expires: Its end.
        remedy: What to do.
    """

    name: str
    expires: datetime
    remedy: str

    def __str__(self) -> str:
        """One line for a terminal or a log."""
        verb = "expired" if self.expires <= now() else "expires"
        return f"{self.name}: certificate {verb} on {self.expires:%Y-%m-%d}. {self.remedy}"


def expiring(federation: Federation, within_days: int = WARN_DAYS) -> list[Expiry]:
    """Return the certificates that end within some days: the authority's, the server's, and active clients'.

    Args:
        federation: Of what was not provisioned yet, nothing is said.
        within_days: How far to look ahead; what has expired already is always named.

    Raises:
        ConfigurationError: If a certificate or the index cannot be read.
    """
    ends = {}
    if federation.ca_certificate.exists():
        ends[AUTHORITY] = load_certificate(federation, "ca").not_valid_after_utc
    if federation.server_certificate.exists():
        ends[SERVER] = load_certificate(federation, "server").not_valid_after_utc
    index = load_index(federation)
    for site in federation.site_names:
        key = index.active(site)
        if key is not None and key.expires is not None:
            ends[site] = key.expires
    limit = now() + timedelta(days=within_days)
    return [Expiry(name, end, _remedy(name)) for name, end in ends.items() if end <= limit]


def _remedy(name: str) -> str:
    if name == AUTHORITY:
        return "Provision anew with another home in good time, and give every site its new kit"
    return f"Run `hqgnet-server renew FEDERATION.yaml {name}`"
