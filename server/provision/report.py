"""What provisioning did, and what there is now: the table that the commands print."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from server.provision.expiry import Expiry

State = Literal["new", "kept", "renewed", "revoked", "not listed"]


@dataclass(frozen=True)
class Row:
    """One thing in the table.

    Attributes:
        name: ``authority``, ``server`` or a site.
        state: What was done; ``kept`` is untouched byte for byte, ``not listed`` has left the YAML.
        fingerprint: SHA-256: of the certificate, or of a site's public key.
        expires: End of the certificate; None if there is none.
        notes: What the reader should know or do.
    """

    name: str
    state: State
    fingerprint: str
    expires: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All that a call of provision, renew or revoke has to tell.

    Attributes:
        federation: Its name.
        home: The server's folder.
        rows: In the order of the table.
        expiring: Certificates that end soon.
    """

    federation: str
    home: Path
    rows: tuple[Row, ...]
    expiring: tuple[Expiry, ...] = ()

    def __str__(self) -> str:
        """Return the table, with a line break at its end."""
        name, state = (max(len(text) for text in column) for column in self._columns())
        indent = " " * (2 + name + 2 + state + 2)
        lines = [f"federation {self.federation}, home {self.home}"]
        for row in self.rows:
            lines.append(f"  {row.name:<{name}}  {row.state:<{state}}  {row.fingerprint}")
            if row.expires is not None:
                lines.append(f"{indent}certificate expires {row.expires:%Y-%m-%d}")
            lines += [f"{indent}{note}" for note in row.notes]
        lines += [f"warning: {expiry}" for expiry in self.expiring]
        return "\n".join(lines) + "\n"

    def _columns(self) -> tuple[list[str], list[str]]:
        return [row.name for row in self.rows], [row.state for row in self.rows]
