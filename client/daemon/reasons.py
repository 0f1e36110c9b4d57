"""What a SuperNode's output says about the connection, in words for the hospital's engineer."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NODE = re.compile(r"SuperNode ID: (\d+)")
_LOST = re.compile(r"Failed to (send|receive) message|Failed to create task")
# In this order: the first that is found explains the most.
_REASONS = (
    (
        re.compile(r"SSL/TLS handshake error|CERTIFICATE_VERIFY_FAILED|certificate verify failed", re.I),
        "the server's certificate is not of the authority in server.ca, or does not name server.address: "
        "this may be another server; compare fingerprints with the federation's office (hqgnet-client check)",
    ),
    (
        re.compile(r"Exit Code: 302"),
        "server.key is no private key that Flower can read: take it from the kit again",
    ),
    (
        re.compile(r"Exit Code: 305|401 Unauthorized"),
        "the server does not take this node: its key is not registered, or was revoked, or the node is not "
        "yet marked as gone since it ended last",
    ),
    (
        re.compile(r"Exit Code: 606"),
        "the server's Flower is of another version: install the same at both ends",
    ),
    (
        re.compile(r"Server error '5\d\d|Exception in thread|has ended$", re.I | re.M),
        "the server had a fault of its own, or the connection had: its end is in supernode.log",
    ),
    (
        # Nobody here asked it to: this is how it takes the server's 401.
        re.compile(r"SuperNode terminated gracefully"),
        "the server takes this node no more: its key was revoked, or the server has lost its database",
    ),
    (re.compile(r"address already in use", re.I), "its port on loopback was taken meanwhile"),
)


def node_id(line: str) -> str | None:
    """Return the number under which the server knows the node, if the line tells it."""
    match = _NODE.search(line)
    return match[1] if match else None


def is_lost(line: str) -> bool:
    """Return whether the line says that the server cannot be reached, and is tried again."""
    return "Connection attempt failed" in line


def is_found_again(line: str) -> bool:
    """Return whether the line says that the server is reached again."""
    return "Connection successful" in line


def is_message_lost(line: str) -> bool:
    """Return whether the line says that a message was dropped for good, for which the server still waits."""
    return _LOST.search(line) is not None


def reason_of(lines: Iterable[str]) -> str | None:
    """Return why a SuperNode ended, from its last lines; None if they do not say."""
    text = "\n".join(lines)
    for pattern, reason in _REASONS:
        if pattern.search(text):
            return reason
    return None
