"""All checks of one site, in the order of the page. A check that fails is a finding, never the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from client.checks.finding import Finding, Group, exit_code
from client.checks.site_file import read_site_file
from hqgnet.errors import ExitCode

if TYPE_CHECKING:
    from client.checks.images import OpenedSite
    from hqgnet.data.site_config import SiteConfig
    from hqgnet.data.site_server import ServerConnection
    from hqgnet.exchange.data_card import DataCard

Check = Callable[[], Iterable[Finding]]


@dataclass(frozen=True)
class Examination:
    """What ``hqgnet-client check`` found.

    Attributes:
        file: The site file.
        config: What stands in it; None if it cannot be used.
        findings: In the order of the page.
        card: What the server would learn of the images; None if they cannot be opened.
        hq_images: HQ images to train on, whether or not the card tells them; None likewise.
        left_out: Groups that were not looked at, and why.
    """

    file: Path
    config: SiteConfig | None
    findings: tuple[Finding, ...]
    card: DataCard | None = None
    hq_images: int | None = None
    left_out: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return exit_code(self.findings)


def examine(file: Path, *, offline: bool) -> Examination:
    """Look at everything of a site.

    Args:
        file: The site's YAML.
        offline: Leave out all that needs the network.
    """
    config, findings = read_site_file(file)
    if config is None:
        return Examination(file, None, tuple(findings))
    site, image_findings = _images(config)
    findings += image_findings
    findings += _machine(config)
    left_out = ""
    if config.server is None:
        left_out = (
            "Clock, Certificates and key, and Server are left out: the site file has no section server. "
            "Simulations need none."
        )
    else:
        findings += _connection(config.server, config.name, offline=offline)
        left_out = "Clock and Server are left out: --offline." if offline else ""
    findings += _versions(file, config)
    card, hq_images = _card(site)
    return Examination(file, config, tuple(findings), card, hq_images, left_out)


def guarded(group: Group, title: str, check: Check) -> list[Finding]:
    """Run one check; if it fails, that is what it found."""
    try:
        return list(check())
    except Exception as error:
        what = f"this check itself failed ({type(error).__name__}: {error})"
        return [Finding(group, title, "problem", what, "Report it to whoever gave you this software")]


def _images(config: SiteConfig) -> tuple[OpenedSite | None, list[Finding]]:
    from client.checks.companions import check_masks, check_twins
    from client.checks.grades import check_grades
    from client.checks.images import check_images, open_images
    from client.checks.leaks import check_leaks
    from client.checks.part import check_part
    from client.checks.patients import check_patients

    opened: list[OpenedSite] = []

    def open_and_check() -> Iterable[Finding]:
        opened.append(open_images(config))
        return check_images(opened[0])

    findings = guarded("Images", "images", open_and_check)
    if not opened:
        return None, findings
    for title, check in (
        ("masks", check_masks),
        ("twins", check_twins),
        ("grades", check_grades),
        ("leaks", check_leaks),
        ("patients", check_patients),
        ("takes part", check_part),
    ):
        findings += guarded("Images", title, partial(check, opened[0]))
    return opened[0], findings


def _machine(config: SiteConfig) -> list[Finding]:
    from client.checks import machine

    checks: tuple[tuple[str, Check], ...] = (
        ("device", partial(machine.check_device, config)),
        ("compiler", partial(machine.check_compiler, config)),
        ("threads", partial(machine.check_threads, config)),
        ("memory", machine.check_memory),
        ("work folder", partial(machine.check_work, config)),
        ("disk", partial(machine.check_disk, config)),
        ("image folders", partial(machine.check_reading, config)),
    )
    return [finding for title, check in checks for finding in guarded("Machine", title, check)]


def _connection(connection: ServerConnection, site: str, *, offline: bool) -> list[Finding]:
    from client.checks.certificates import check_authority, check_server_certificate
    from client.checks.clock import check_clock
    from client.checks.key import check_key
    from client.checks.probe import Probe, probe_server
    from client.checks.server import check_connection, check_control, check_fleet

    group: Group = "Certificates and key"
    own = [
        *guarded(group, "authority", partial(check_authority, connection)),
        *guarded(group, "site key", partial(check_key, connection, site)),
    ]
    if offline:
        return own
    probes: list[Probe] = []

    def look() -> Iterable[Finding]:
        probes.append(probe_server(connection))
        return ()

    failed = guarded("Server", "connection", look)
    if failed:
        return [*own, *failed]
    probe = probes[0]
    return [
        *guarded("Clock", "skew", partial(check_clock, probe)),
        *own,
        *guarded(group, "server", partial(check_server_certificate, connection, probe)),
        *guarded("Server", "connection", partial(check_connection, connection, probe)),
        *guarded("Server", "Flower", partial(check_fleet, probe)),
        *guarded("Server", "Control", partial(check_control, probe)),
    ]


def _versions(file: Path, config: SiteConfig) -> list[Finding]:
    from client.checks.code import check_code
    from client.checks.versions import check_versions

    group: Group = "Versions and code"
    findings = guarded(group, "versions", check_versions)
    if config.server is not None:  # a simulation runs the coordinator's own installation
        findings += guarded(group, "approved code", partial(check_code, file, config))
    return findings


def _card(site: OpenedSite | None) -> tuple[DataCard | None, int | None]:
    """Return the card as the policy lets it leave, and the HQ images to train on."""
    from hqgnet.exchange.data_card import DataCard

    if site is None or site.data is None:
        return None, None
    card = DataCard.of(site.data)
    return card.hiding(site.config.policy.smallest_count), card.hq.train
