"""The published average over the rounds of a phase: every round by its age, without a bias to the first."""

from __future__ import annotations


def latest_share(decay: float, rounds: int) -> float:
    """Return the share of the latest weights in the average over a phase's rounds so far.

    Weights that are k rounds old count ``decay**k``, and all counts sum to one, as in the correction that
    Adam makes (Kingma and Ba, arXiv 1412.6980, section 3): the first rounds are averaged almost equally, and
    the first of them counts no more than its age says.

    Args:
        decay: A round, in [0, 1); 0 takes the latest weights alone.
        rounds: Of this phase, the latest included; at least 1.

    Returns:
        In (0, 1]; 1 in the first round.
    """
    if decay == 0.0:
        return 1.0
    return (1.0 - decay) / (1.0 - decay**rounds)
