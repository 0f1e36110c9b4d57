"""What a hospital or the server turns away: certificates, keys, code, and what the policy forbids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.consortium import Consortium, rows, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def consortium(consortium_factory: Callable[..., Consortium]) -> Consortium:
    return consortium_factory()


def test_code_policy_and_keys(consortium: Consortium, experiment_factory: Callable[..., Path]) -> None:
    """One run: site 1 is as it should be; site 2 has not approved the code, and does so while the run goes on;
    site 3's policy keeps the downstream network at home; a fourth has a key that nobody registered.
    """
    run = "refused"
    consortium.start_server()
    for name in consortium.names:
        consortium.complete_kit(name)
    at_home = {"groups": ["cue_extractor", "generator", "autoencoder_decoder"]}
    consortium.complete_kit("site-3", policy=at_home)
    for name in ("site-1", "site-3"):
        consortium.approve(name)
    for name in consortium.names:
        consortium.start_site(name)
    settings = {"expected_sites": 2, "minimum_sites": 1}
    running = consortium.run(experiment_factory(run, settings, enhance=3, cooperate=4))
    consortium.wait_for_round(run, 1)
    refusal = "code-not-approved"
    wait_until(lambda: refusal in str(rows(consortium.work("site-2") / "audit.jsonl")), 60, refusal)
    consortium.approve("site-2")
    assert running.wait(400) == 0, running.text
    consortium.check_result(run, rounds=7)
    by_round = {row["global_round"]: row for row in consortium.rounds(run)}
    assert "site-2" not in by_round[1]["sites"] and "site-2" in by_round[7]["sites"]
    assert all(by_round[n]["failed"].get("site-3") == "policy-groups" for n in range(4, 8))
    assert all("site-3" in by_round[n]["sites"] for n in range(1, 4))
