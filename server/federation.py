"""The federation YAML: where the server is, who may take part, and where the server's files lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hqgnet.config import NAME_PATTERN
from hqgnet.hosts import LAST_PORT, canonical_host, host_and_port, is_host
from hqgnet.yaml_files import load_yaml_model

# What tables and `renew` call them; no site may be called so.
SERVER = "server"
AUTHORITY = "authority"
ALWAYS_NAMED = ("localhost", "127.0.0.1", "::1")
_LONGEST_DAYS = 36500


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerConfig(_Frozen):
    """Where the SuperLink listens, and under which names hospitals know it."""

    address: str = Field(description="host:port as hospitals reach it, such as federation.example.org:8443")
    names: tuple[str, ...] = Field(
        (), description="further names and IP addresses in the server's certificate"
    )
    host: str = Field("127.0.0.1", description="name or IP address on which the SuperLink listens")
    port: int = Field(
        8443, strict=True, ge=1, le=LAST_PORT, description="TCP port on which the SuperLink listens"
    )
    health_port: int = Field(
        8444, strict=True, ge=1, le=LAST_PORT, description="TCP port of its health service, on loopback"
    )

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        host_and_port(address)
        return address

    @field_validator("names")
    @classmethod
    def _are_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in names if not is_host(name)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot stand in a certificate: give host names or IPs")
        return names

    @field_validator("host")
    @classmethod
    def _is_a_host(cls, host: str) -> str:
        if not is_host(host):
            raise ValueError("is neither a host name nor an IP address: write it like 127.0.0.1")
        return host

    @model_validator(mode="after")
    def _two_ports(self) -> ServerConfig:
        if self.port == self.health_port:
            raise ValueError(f"port and health_port are both {self.port}: give each its own")
        return self

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """Names and IP addresses in the server's certificate, each once, in lower case."""
        host, _ = host_and_port(self.address)
        return tuple(dict.fromkeys(canonical_host(name) for name in (host, *self.names, *ALWAYS_NAMED)))


class CertificateLifetimes(_Frozen):
    """For how many days certificates are valid; none outlives the authority's."""

    ca_days: int = Field(
        3650, strict=True, ge=1, le=_LONGEST_DAYS, description="the federation's own authority"
    )
    server_days: int = Field(398, strict=True, ge=1, le=_LONGEST_DAYS, description="the server's certificate")
    client_days: int = Field(398, strict=True, ge=1, le=_LONGEST_DAYS, description="client certificates")


class FederationSite(_Frozen):
    """One hospital that may take part."""

    name: str = Field(pattern=NAME_PATTERN, description="the site's name, such as site-1")

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str) -> str:
        if name in (SERVER, AUTHORITY):
            raise ValueError("is what the federation's own is called: give the site another name")
        return name


class Federation(_Frozen):
    """The federation file, and the place of every file that the server keeps."""

    name: str = Field(pattern=NAME_PATTERN, description="the federation's name; stands in its certificates")
    home: Path = Field(
        Path("home"), description="the server's private folder: keys, secrets, database, logs; mode 0700"
    )
    runs: Path = Field(Path("runs"), description="where the folders of runs are made")
    server: ServerConfig = Field(description="where the server is")
    certificates: CertificateLifetimes = Field(
        default_factory=CertificateLifetimes, description="for how long certificates are valid"
    )
    client_certificates: bool = Field(
        False,
        strict=True,
        description="give each site a TLS client certificate too, for a proxy that asks for one",
    )
    sites: tuple[FederationSite, ...] = Field(description="the hospitals; more may be added later")

    @field_validator("sites")
    @classmethod
    def _named_once(cls, sites: tuple[FederationSite, ...]) -> tuple[FederationSite, ...]:
        if not sites:
            raise ValueError("names no site: give at least one")
        repeated = [name for name, count in Counter(site.name for site in sites).items() if count > 1]
        if repeated:
            raise ValueError(f"{', '.join(repeated)} stands more than once: give each site its own name")
        return sites

    @property
    def site_names(self) -> tuple[str, ...]:
        """Names of the sites, in the order of the file."""
        return tuple(site.name for site in self.sites)

    @property
    def ca_certificate(self) -> Path:
        """The authority's certificate (PEM); a copy is in every kit."""
        return self.home / "ca" / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The authority's private key."""
        return self.home / "ca" / "ca.key"

    @property
    def revocation_list(self) -> Path:
        """The authority's list of revoked client certificates (PEM), where these are used."""
        return self.home / "ca" / "crl.pem"

    @property
    def server_certificate(self) -> Path:
        """The server's TLS certificate (PEM)."""
        return self.home / "tls" / "server.pem"

    @property
    def server_key(self) -> Path:
        """The private key to it."""
        return self.home / "tls" / "server.key"

    @property
    def superexec_secret(self) -> Path:
        """32 random bytes by which the SuperLink knows its own SuperExec."""
        return self.home / "secrets" / "superexec.bin"

    @property
    def database(self) -> Path:
        """The SuperLink's state."""
        return self.home / "state" / "superlink.db"

    @property
    def logs(self) -> Path:
        """Folder of the server's logs."""
        return self.home / "logs"

    @property
    def sites_folder(self) -> Path:
        """Folder of the sites' public keys: ``NAME.pub``."""
        return self.home / "sites"

    @property
    def sites_index(self) -> Path:
        """Which keys were given to which site, and which were revoked."""
        return self.sites_folder / "index.json"

    @property
    def flower_home(self) -> Path:
        """``FLWR_HOME`` of the server's processes."""
        return self.home / "flower"


def load_federation(path: Path) -> Federation:
    """Read and check a federation file; its relative paths are made absolute.

    Raises:
        ConfigurationError: Naming every mistake with file, key, value and remedy.
    """
    federation = load_yaml_model(path, Federation)
    root = path.parent.absolute()
    return federation.model_copy(update={"home": root / federation.home, "runs": root / federation.runs})
