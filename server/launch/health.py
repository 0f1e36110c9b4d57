"""Whether a SuperLink is there: over TLS, as all who use it reach it, and by its health service."""

from __future__ import annotations

import importlib
import ssl
import urllib.error
import urllib.request
from typing import Any

from server.federation import Federation
from server.launch.addresses import local_address

_LIMIT_S = 2.0


def answers(federation: Federation, limit_s: float = _LIMIT_S) -> bool:
    """Return whether the SuperLink answers over TLS, with a certificate of the federation's authority."""
    try:
        context = ssl.create_default_context(cafile=federation.ca_certificate)
        address = f"https://{local_address(federation)}/health"
        # A proxy of the environment is none of this machine's own business with itself.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(address, timeout=limit_s):
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def health(federation: Federation, limit_s: float = _LIMIT_S) -> str:
    """Return what the gRPC health service says (``SERVING``); ``down`` if it does not answer."""
    # Loaded when it is needed, and without types: neither package brings any.
    grpc: Any = importlib.import_module("grpc")
    messages: Any = importlib.import_module("grpc_health.v1.health_pb2")
    service: Any = importlib.import_module("grpc_health.v1.health_pb2_grpc")
    target = f"127.0.0.1:{federation.server.health_port}"
    try:
        with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
            answer = service.HealthStub(channel).Check(messages.HealthCheckRequest(), timeout=limit_s)
            return str(messages.HealthCheckResponse.ServingStatus.Name(answer.status))
    except grpc.RpcError:
        return "down"
