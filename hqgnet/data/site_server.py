"""The ``server`` section of a site YAML: whom this hospital joins, and the keys with which it does."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hqgnet.hosts import host_and_port


class ServerConnection(BaseModel):
    """Where the federation's server is, and how both ends prove who they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str = Field(description="host:port at which the server's Fleet interface is reached")
    ca: Path = Field(description="certificate of the federation's authority (PEM); relative to the YAML file")
    key: Path = Field(description="this site's private key, given out by provisioning; file mode 0600")
    reconnect_pause_s: float = Field(
        15.0, gt=0, le=3600, description="pause before the node is started again after it ended"
    )

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        host_and_port(address)
        return address

    @property
    def host(self) -> str:
        """Name or address, without brackets around IPv6."""
        return host_and_port(self.address)[0]

    @property
    def port(self) -> int:
        """TCP port."""
        return host_and_port(self.address)[1]
