"""Names and addresses of machines, as they stand in YAML files and certificates."""

from __future__ import annotations

import ipaddress
import re

LAST_PORT = 65535
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_NAME = 253


def is_host(name: str) -> bool:
    """Return whether this is a host name (RFC 1123) or an IP address without brackets."""
    if _as_ip(name) is not None:
        return True
    labels = name.lower().split(".")
    # A last label of digits would be a mistyped IPv4 address.
    return (
        len(name) <= _LONGEST_NAME
        and all(_LABEL.fullmatch(label) for label in labels)
        and not labels[-1].isdecimal()
    )


def canonical_host(name: str) -> str:
    """Return a host name in lower case, an IP address in its shortest form."""
    address = _as_ip(name)
    return name.lower() if address is None else str(address)


def host_and_port(address: str) -> tuple[str, int]:
    """Return the host, without brackets, and the port of ``HOST:PORT`` or ``[IPv6]:PORT``.

    Raises:
        ValueError: If it is neither; says how to write it.
    """
    host, colon, port = address.rpartition(":")
    usable = colon and port.isdecimal() and port.isascii() and 0 < int(port) <= LAST_PORT
    if ":" in host:
        usable, host = usable and host[0] == "[" and host[-1] == "]", host[1:-1]
    if not usable or not is_host(host):
        raise ValueError("is not host:port: write it like federation.example.org:8443 or [::1]:8443")
    return host, int(port)


def _as_ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in name else ipaddress.ip_address(name)  # a zone has no place in a certificate
    except ValueError:
        return None
