"""Addresses as a server's and a hospital's YAML give them."""

from __future__ import annotations

import pytest

from hqgnet.data.site_server import ServerConnection
from hqgnet.hosts import canonical_host, host_and_port, is_host

WRONG = [
    "federation.example.org",
    "host:0",
    "host:65536",
    "host:٣",
    ":8443",
    "https://host:8443",
    "host/path:8443",
    "-host:1",
    "host name:1",
    "10.0.0.256:1",
    "*.example.org:1",
    "[fe80::1%eth0]:1",
    "2001:db8::7:x",
    "2001:db8::7:443",
    "[2001:db8::7:443",
]


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("[2001:db8::7]:443", "2001:db8::7", 443),
        ("10.1.2.3:1", "10.1.2.3", 1),
        ("hub:65535", "hub", 65535),
        ("Federation.Example.org:8443", "Federation.Example.org", 8443),
    ],
)
def test_addresses_that_can_be_reached(address: str, host: str, port: int) -> None:
    assert host_and_port(address) == (host, port)
    connection = ServerConnection.model_validate({"address": address, "ca": "ca.pem", "key": "site.key"})
    assert (connection.host, connection.port) == (host, port)


@pytest.mark.parametrize("address", WRONG)
def test_addresses_that_nobody_can_reach(address: str) -> None:
    with pytest.raises(ValueError, match=r"is not host:port: write it like federation\.example\.org:8443"):
        host_and_port(address)
    with pytest.raises(ValueError, match="is not host:port"):
        ServerConnection.model_validate({"address": address, "ca": "ca.pem", "key": "site.key"})


def test_one_host_has_one_name() -> None:
    assert canonical_host("Hub.Example.ORG") == "hub.example.org"
    assert canonical_host("2001:0db8:0::7") == "2001:db8::7"
    assert not is_host("a" * 64) and not is_host(".".join(["a" * 60] * 5))
