"""The site's YAML: whether it reads, and what its policy lets happen."""

from __future__ import annotations

from pathlib import Path

from client.checks.finding import Finding, from_problem
from hqgnet.data.site_config import SiteConfig, load_site_config
from hqgnet.data.site_policy import SitePolicy
from hqgnet.errors import ConfigurationError


def read_site_file(file: Path) -> tuple[SiteConfig | None, list[Finding]]:
    """Read the site file; without it nothing else can be looked at.

    Returns:
        The site, or None if the file cannot be used; and the findings, all mistakes at once.
    """
    try:
        config = load_site_config(file)
    except ConfigurationError as error:
        return None, [from_problem("Site file", "mistake", problem) for problem in error.problems]
    kind = "grey" if config.channels == 1 else "colour"
    reads = Finding("Site file", "reads", "ok", f"site {config.name}, {config.modality}, {kind} images")
    return config, [reads, Finding("Site file", "policy", "ok", policy_summary(config.policy))]


def policy_summary(policy: SitePolicy) -> str:
    """Return in one line what the hospital lets happen in a round."""
    strategies = "any strategy" if policy.strategies is None else f"strategies {', '.join(policy.strategies)}"
    memory = "" if policy.gpu_memory_gb is None else f", at most {policy.gpu_memory_gb:g} GB of GPU memory"
    return (
        f"phases {', '.join(policy.phases)}; {strategies}; a round: at most {policy.steps_per_round} steps, "
        f"{policy.minutes_per_round:g} minutes, {policy.megabytes_per_round:g} MB to send{memory}"
    )
