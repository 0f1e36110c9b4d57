"""Under which address this machine itself reaches its SuperLink."""

from __future__ import annotations

import ipaddress

from server.federation import Federation


def local_host(federation: Federation) -> str:
    """Return the host to connect to: loopback where the SuperLink listens on all interfaces."""
    host = federation.server.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host


def local_address(federation: Federation) -> str:
    """Return host and port to connect to, as ``127.0.0.1:8443`` or ``[::1]:8443``."""
    host = local_host(federation)
    return f"[{host}]:{federation.server.port}" if ":" in host else f"{host}:{federation.server.port}"


def is_loopback(federation: Federation) -> bool:
    """Return whether the SuperLink listens where only this machine reaches it."""
    host = federation.server.host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
