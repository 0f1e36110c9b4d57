"""What a site takes part in with the images that it has, before any experiment is known."""

from __future__ import annotations

from client.checks.finding import Finding
from client.checks.images import OpenedSite
from hqgnet.exchange.participation import in_any_experiment


def check_part(site: OpenedSite) -> list[Finding]:
    """Say in words what the site cannot do, and what it does in its place."""
    if site.data is None:
        return []
    lacking = in_any_experiment(site.data)
    if not lacking:
        return [Finding("Images", "takes part", "ok", "in all phases of every experiment, and judges models")]
    return [Finding("Images", "takes part", "ok", "; ".join(lacking))]
