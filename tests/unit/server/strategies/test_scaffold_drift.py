"""SCAFFOLD where sites differ, come and go: it ends at the joint minimum, which plain averaging misses."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqgnet.config import FederationConfig
from hqgnet.exchange.arrays import Arrays
from hqgnet.exchange.control import control_name
from hqgnet.training.control_variates import ControlVariates
from hqgnet.training.gradient_correction import correcting
from server.spool import Spool
from server.strategies import make_strategy

SLOPES, MINIMA = (1.0, 2.0, 4.0), (-1.0, 0.0, 6.0)
ROUNDS, STEPS, RATE = 250, 10, 0.02
W, CONTROL = "generator.w", control_name("generator.w")
Visits = Callable[[int], Collection[int]]


def everybody(_: int) -> Collection[int]:
    return range(3)


def nobody(_: int) -> Collection[int]:
    return ()


class Consortium:
    """Three sites, each with a quadratic of its own, and a server.

    Args:
        folder: For spools.
        strategy: Its name.
        weights: Of the sites.
    """

    def __init__(self, folder: Path, strategy: str, weights: tuple[int, int, int] = (1, 1, 1)) -> None:
        self._folder = folder
        self._server = make_strategy(FederationConfig(strategy=strategy), {W})  # type: ignore[arg-type]
        self._weights = weights
        self._latest: Arrays = {W: np.zeros(1, np.float32)}
        # What a site had after its latest update that counted.
        self._own: dict[int, dict[str, Tensor]] = {}

    @property
    def optimum(self) -> float:
        """Of the weighted objective."""
        bends = [weight * slope for weight, slope in zip(self._weights, SLOPES, strict=True)]
        return sum(bend * minimum for bend, minimum in zip(bends, MINIMA, strict=True)) / sum(bends)

    def run(self, trains: Visits = everybody, lost: Visits = nobody, forgets: Visits = nobody) -> float:
        """Train, and return where it ends.

        Args:
            trains: The sites of a round.
            lost: Those whose update does not count.
            forgets: Those that have lost what they keep.
        """
        for number, folder in zip(range(ROUNDS), map(str, count()), strict=False):
            sent = self._latest | self._server.beside(self._latest)
            known = {str(site) for site in self._own}
            answered: dict[str, int] = {}
            with Spool(self._folder / folder, "012", 64) as spool:
                for site in trains(number):
                    update, own = self._train(site, sent, forgets=site in forgets(number))
                    if site not in lost(number):
                        spool.put(str(site), update)
                        answered[str(site)], self._own[site] = self._weights[site], own
                combined = self._server.combine(spool.updates(answered, known))
            self._latest = self._latest | self._server.step(self._latest, combined)
        return float(self._latest[W][0])

    def _train(self, site: int, sent: Arrays, *, forgets: bool) -> tuple[Arrays, dict[str, Tensor]]:
        model = nn.ModuleDict({"generator": nn.ParameterDict({"w": torch.from_numpy(sent[W].copy())})})
        control = None
        if CONTROL in sent:
            own = None if forgets else self._own.get(site, {})
            control = ControlVariates(model, {W: torch.from_numpy(sent[CONTROL].copy())}, own)
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        [w] = model.parameters()
        with correcting([control] if control else []):
            for _ in range(STEPS):
                optimizer.zero_grad()
                (SLOPES[site] / 2 * (w - MINIMA[site]).square()).sum().backward()
                optimizer.step()
        update: Arrays = {W: w.detach().numpy()}
        if control is None:
            return update, {}
        return update | {CONTROL: control.outgoing()[W].numpy()}, control.own()


def test_averaging_misses_the_joint_minimum(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, "fedavg")
    assert abs(consortium.run() - consortium.optimum) > 0.1


@pytest.mark.parametrize("weights", [(1, 1, 1), (100, 100, 10)])
@pytest.mark.parametrize(
    ("trains", "lost"),
    [
        (everybody, nobody),
        (everybody, lambda number: [2] if number == 0 else ()),
        (everybody, lambda number: [0, 2] if number in (2, 3, 4, 5) else ()),
        (lambda number: (0, 1) if number == 0 else range(3), nobody),
        (lambda number: [2] if number == 4 else range(3), nobody),
        (lambda number: ((0, 1), (1, 2), (0, 2))[number % 3], nobody),
    ],
    ids=["all", "first-lost", "four-rounds-lost", "joins-later", "small-one-alone", "in-turn"],
)
def test_it_ends_at_the_joint_minimum_whoever_trains_and_whatever_is_lost(
    trains: Visits, lost: Visits, weights: tuple[int, int, int], tmp_path: Path
) -> None:
    consortium = Consortium(tmp_path, "scaffold", weights)
    assert consortium.run(trains, lost) == pytest.approx(consortium.optimum, abs=0.08)


def test_a_site_that_has_lost_its_variate_does_less_harm_than_none_would(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path, "scaffold")
    found = consortium.run(forgets=lambda number: [2] if number == 2 else ())
    # Its part of c from before is in c for good: the phase ends beside the minimum.
    assert 0.01 < abs(found - consortium.optimum) < 2.0
