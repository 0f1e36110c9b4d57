"""The way to the server: its name, its port, TLS, and whether Flower answers only where it should."""

from __future__ import annotations

import urllib.request

from client.checks.finding import Finding
from client.checks.probe import Answer, Probe
from hqgnet.data.site_server import ServerConnection

_BEHIND_IS_DOWN = (502, 503, 504)
_HIDDEN = (401, 403, 404)
_REFUSED_BY_FLOWER = (401, 404, 405, 415)
_JSON = "application/json"
_SHOW_CERTIFICATE = "Run the small proxy that shows it (deploy/nginx), and let server.address name that"


def check_connection(connection: ServerConnection, probe: Probe) -> list[Finding]:
    """Name, port and TLS, as far as the way goes."""
    findings = _proxy(connection.host)
    if probe.name_failure is not None:
        what = f"{connection.host} has no address ({probe.name_failure})"
        remedy = "Correct server.address, or ask your network's people whether this machine may look names up"
        return [*findings, _problem("name", what, remedy)]
    findings.append(Finding("Server", "name", "ok", f"{connection.host} is {', '.join(probe.addresses)}"))
    if probe.peer is None:
        what = f"port {connection.port} cannot be reached ({'; '.join(probe.unreachable)})"
        remedy = "Ask whether the server runs, and whether your network lets this machine out to it"
        return [*findings, _problem("port", what, remedy)]
    way = f"port {connection.port} reached at {probe.peer}, from this machine's {probe.own_address}"
    findings.append(Finding("Server", "port", "ok", way))
    if probe.tls_failure is None:
        return [*findings, Finding("Server", "encryption", "ok", f"{probe.tls}, server proved")]
    if probe.tls_failure.code is None and probe.certificate is None:
        what = f"no TLS comes about ({probe.tls_failure.reason})"
        remedy = "Compare server.address with the kit's: something else may listen there"
    else:
        what = f"the server is not trusted ({probe.tls_failure.reason})"
        remedy = "See Certificates and key"
    return [*findings, _problem("encryption", what, remedy)]


def check_fleet(probe: Probe) -> list[Finding]:
    """See that Flower answers on the interface that sites use; without a connection, nothing."""
    if (answer := probe.fleet) is None:
        return []
    if isinstance(answer, str):
        what = f"the connection ended without an answer ({answer})"
        remedy = (
            f"Check again; if it stays so, the server may ask for a client certificate. {_SHOW_CERTIFICATE}"
        )
        return [_problem("Flower", what, remedy)]
    if _refused_by_proxy(answer):
        what = "the server asks for a client certificate, which Flower cannot show"
        return [_problem("Flower", what, _SHOW_CERTIFICATE)]
    if answer.status in _BEHIND_IS_DOWN:
        what = f"a proxy answers, but not the server behind it (status {answer.status})"
        return [
            _problem("Flower", what, "Ask the coordinator to start it (hqgnet-server up), then check again")
        ]
    if answer.kind.startswith(_JSON) and answer.status in _REFUSED_BY_FLOWER:
        return [Finding("Server", "Flower", "ok", f"answers on its Fleet interface (status {answer.status})")]
    kind = answer.kind or "no content type"
    what = f"something answers, but not as Flower's server does (status {answer.status}, {kind})"
    return [_problem("Flower", what, "Compare server.address with the kit's, and tell the coordinator")]


def check_control(probe: Probe) -> list[Finding]:
    """See that the interface by which runs are started cannot be reached from a hospital."""
    answer = probe.control
    if not isinstance(answer, Answer) or _refused_by_proxy(answer):
        return []
    if answer.status in _HIDDEN:
        return [Finding("Server", "Control", "ok", "cannot be reached from here, as it should be")]
    what = (
        f"the server shows its Control interface to the world (status {answer.status}): whoever holds ca.pem "
        "could start runs. What runs here is still only the code that this hospital approved"
    )
    remedy = "Tell the coordinator to let only /v1/fleet/ through (deploy/nginx)"
    return [Finding("Server", "Control", "warning", what, remedy)]


def _proxy(host: str) -> list[Finding]:
    proxy = urllib.request.getproxies().get("https") or urllib.request.getproxies().get("all")
    if not proxy or urllib.request.proxy_bypass(host):
        return []
    what = "a web proxy is set in the environment; Flower would go through it, this page went directly"
    remedy = f"Unset HTTPS_PROXY, or add {host} to NO_PROXY, if the direct way is allowed"
    return [Finding("Server", "proxy", "warning", what, remedy)]


def _refused_by_proxy(answer: Answer) -> bool:
    """nginx refuses with status 400 whoever shows no client certificate where it wants one."""
    return answer.status == 400 and not answer.kind.startswith(_JSON)


def _problem(title: str, what: str, remedy: str) -> Finding:
    return Finding("Server", title, "problem", what, remedy)
