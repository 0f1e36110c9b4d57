"""One look at the server over the network: addresses, TLS, answers, time. Several checks read from it."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass

from hqgnet.data.site_server import ServerConnection

TIMEOUT_S = 5.0
# An empty message of a kind that Flower refuses (415) unread: nothing is pulled or run by asking it,
# and a proxy that hands on POST alone hands on this. It leaves one line in the server's log.
FLEET_PATH = "/v1/fleet/pull-messages"
CONTROL_PATH = "/v1/control/list-runs"
_MOST_ADDRESSES = 4


@dataclass(frozen=True)
class Answer:
    """What the server answers to an empty message.

    Attributes:
        status: HTTP status.
        kind: Its content type.
        date: The header ``Date``, the server's clock.
        asked: This machine's clock when the request was sent, in seconds since 1970.
        answered: The same when the answer was there.
    """

    status: int
    kind: str
    date: str | None
    asked: float
    answered: float


@dataclass(frozen=True)
class TlsFailure:
    """Why no trusted connection came about.

    Attributes:
        reason: In the words of the TLS library.
        code: OpenSSL's number for what is wrong with the certificate; None if it is something else.
    """

    reason: str
    code: int | None = None


@dataclass(frozen=True)
class Probe:
    """What was found on the way to the server, as far as the way went.

    Attributes:
        addresses: IP addresses of the server's name.
        name_failure: Why the name has none.
        peer: Address that was reached.
        own_address: This machine's address on that way.
        unreachable: Why each address was not.
        tls: ``TLSv1.3``, say, if the server proved that it belongs to the federation.
        tls_failure: Why it did not.
        certificate: What the server showed, in DER; trusted only if ``tls_failure`` is None.
        fleet: Answer of the interface that sites use, or why there was none.
        control: Answer of the interface that only the coordinator should reach, likewise.
    """

    addresses: tuple[str, ...] = ()
    name_failure: str | None = None
    peer: str | None = None
    own_address: str | None = None
    unreachable: tuple[str, ...] = ()
    tls: str | None = None
    tls_failure: TlsFailure | None = None
    certificate: bytes | None = None
    fleet: Answer | str | None = None
    control: Answer | str | None = None


def probe_server(connection: ServerConnection) -> Probe:
    """Look up, connect, shake hands, ask: each step only if the one before went well."""
    host, port = connection.host, connection.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return Probe(name_failure=error.strerror or str(error))
    addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))[:_MOST_ADDRESSES]
    failures = []
    for address in addresses:
        try:
            with socket.create_connection((address, port), TIMEOUT_S) as connected:
                own = str(connected.getsockname()[0])
        except OSError as error:
            failures.append(f"{address}: {error.strerror or error}")
            continue
        return _talk(connection, Probe(addresses, None, address, own, tuple(failures)))
    return Probe(addresses, unreachable=tuple(failures))


def _talk(connection: ServerConnection, reached: Probe) -> Probe:
    place = (str(reached.peer), connection.port)
    facts = {name: getattr(reached, name) for name in ("addresses", "peer", "own_address", "unreachable")}
    try:
        context = ssl.create_default_context(cafile=str(connection.ca))
    except (OSError, ValueError) as error:
        failure = TlsFailure(f"the authority's certificate {connection.ca} cannot be used ({error})")
        return Probe(**facts, tls_failure=failure, certificate=_shown_certificate(place, connection.host))
    try:
        with (
            socket.create_connection(place, TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=connection.host) as secured,
        ):
            version, certificate = secured.version(), secured.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        failure = TlsFailure(error.verify_message, error.verify_code)
        return Probe(**facts, tls_failure=failure, certificate=_shown_certificate(place, connection.host))
    except OSError as error:
        return Probe(**facts, tls_failure=TlsFailure(error.strerror or str(error)))
    return Probe(
        **facts,
        tls=version,
        certificate=certificate,
        fleet=_ask(place, connection.host, context, FLEET_PATH),
        control=_ask(place, connection.host, context, CONTROL_PATH),
    )


def _shown_certificate(place: tuple[str, int], host: str) -> bytes | None:
    """Fetch what the server shows, only to say on the page whose it is: nothing is sent or believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        suppress(OSError),
        socket.create_connection(place, TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.getpeercert(binary_form=True)
    return None


def _ask(place: tuple[str, int], host: str, context: ssl.SSLContext, path: str) -> Answer | str:
    connection = http.client.HTTPConnection(host, place[1], timeout=TIMEOUT_S)
    try:
        plain = socket.create_connection(place, TIMEOUT_S)
        connection.sock = plain
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        asked = time.time()
        connection.request("POST", path, b"", {"Content-Type": "text/plain", "Connection": "close"})
        response = connection.getresponse()
        answered = time.time()
    except (OSError, http.client.HTTPException) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    finally:
        connection.close()
    kind = response.getheader("Content-Type", "")
    return Answer(response.status, kind, response.getheader("Date"), asked, answered)
