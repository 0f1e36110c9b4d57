"""What must be there before the server is started: made by ``provision``, and not expired."""

from __future__ import annotations

from hqgnet.errors import ConfigurationError, Problem
from server.federation import Federation
from server.provision.certificates import now
from server.provision.expiry import expiring
from server.provision.folders import check_private
from server.provision.site_index import active_keys

_BY_PROVISIONING = "Run `hqgnet-server provision FEDERATION.yaml --out KITS`"


def check_provisioned(federation: Federation) -> list[str]:
    """Check keys and certificates; return warnings of those that expire soon.

    Raises:
        ConfigurationError: With all that is missing, open to others, or expired.
    """
    check_private(federation.home)
    needed = (
        federation.ca_certificate,
        federation.server_certificate,
        federation.server_key,
        federation.superexec_secret,
    )
    missing = [Problem(str(file), "is missing", _BY_PROVISIONING) for file in needed if not file.is_file()]
    if missing:
        raise ConfigurationError(missing)
    if not active_keys(federation):
        raise ConfigurationError(Problem(str(federation.sites_index), "names no site", _BY_PROVISIONING))
    ending = expiring(federation)
    # A site's expired client certificate is that site's trouble; ours would be everybody's.
    expired = [end for end in ending if end.expires <= now() and end.name not in federation.site_names]
    if expired:
        raise ConfigurationError(
            Problem(f"certificate of {end.name}", f"expired on {end.expires:%Y-%m-%d}", end.remedy)
            for end in expired
        )
    return [str(end) for end in ending]
