"""What the server publishes: an average over the rounds of a phase, each by its age."""

from __future__ import annotations

import numpy as np
import pytest

from hqgnet.config import Experiment
from hqgnet.exchange.arrays import Arrays
from server.global_model import GlobalModel


def moved(model: GlobalModel, by: float) -> Arrays:
    """Return an update in which every site has added ``by`` to every parameter."""
    sent = model.outgoing("enhance")
    return {name: np.asarray(array + by, array.dtype) for name, array in sent.items()}


@pytest.mark.parametrize("decay", [0.0, 0.6, 0.95])
def test_rounds_of_a_phase_count_by_their_age(tiny_experiment: Experiment, decay: float) -> None:
    federation = tiny_experiment.federation.model_copy(update={"server_average": decay})
    model = GlobalModel(tiny_experiment.model_copy(update={"federation": federation}))
    model.begin_phase()
    name = next(name for name, array in model.outgoing("enhance").items() if array.dtype == np.float32)
    kept = []
    for by in (1.0, 2.0, -4.0, 8.0):
        model.step(moved(model, by))
        kept.append(model.latest[name].astype(np.float64))
        ages = np.arange(len(kept))[::-1]
        counts = decay**ages / (decay**ages).sum()
        wanted = sum(count * array for count, array in zip(counts, kept, strict=True))
        np.testing.assert_allclose(model.published[name], wanted, rtol=1e-5, atol=1e-5)


def test_what_nobody_sends_any_more_comes_nearer_to_its_latest_value(tiny_experiment: Experiment) -> None:
    federation = tiny_experiment.federation.model_copy(update={"server_average": 0.5})
    model = GlobalModel(tiny_experiment.model_copy(update={"federation": federation}))
    model.begin_phase()
    floats = [name for name, array in model.outgoing("enhance").items() if array.dtype == np.float32]
    for by in (1.0, 2.0):
        model.step(moved(model, by))
    left, latest = floats[0], model.latest[floats[0]]
    for _ in range(12):
        model.step({name: array for name, array in moved(model, 0.0).items() if name != left})
    assert model.latest[left] is latest
    np.testing.assert_allclose(model.published[left], latest, atol=1e-3)


@pytest.mark.parametrize("begins_from", ["published", "latest"])
def test_a_phase_begins_where_it_is_told_to_and_with_a_new_average(
    begins_from: str, tiny_experiment: Experiment
) -> None:
    changes = {"server_average": 0.5, "phase_begins_from": begins_from}
    federation = tiny_experiment.federation.model_copy(update=changes)
    model = GlobalModel(tiny_experiment.model_copy(update={"federation": federation}))
    model.begin_phase()
    model.step(moved(model, 1.0))
    model.step(moved(model, 1.0))
    before = {"published": dict(model.published), "latest": dict(model.latest)}
    assert any(not np.array_equal(before["latest"][name], array) for name, array in model.published.items())
    model.begin_phase()
    sent = model.outgoing("enhance")
    assert all(np.array_equal(array, before[begins_from][name]) for name, array in sent.items())
    model.step(moved(model, 3.0))
    assert all(np.array_equal(array, model.latest[name]) for name, array in model.published.items())
