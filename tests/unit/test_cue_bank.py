"""The bank's numbers: against numpy, within their bound, the same every time; and what is no bank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from hqgnet.config import Experiment
from hqgnet.cue_bank import MEAN, CueBank, CueEntry, ImplausibleCuesError, read_mean, without_cues
from hqgnet.errors import ModelFileError
from hqgnet.model_file import load_model, save_model
from hqgnet.networks import networks_of

SIZE, LIMIT, FEWEST = 6, 50.0, 4


def vectors(count: int, seed: int = 0, size: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(2.0, 1.5, (count, size)).astype(np.float32)


def entry(count: int = 20, seed: int = 0, size: int = SIZE) -> CueEntry:
    return CueEntry.of(vectors(count, seed, size), LIMIT)


def bank(*counts: int, size: int = SIZE) -> CueBank:
    made = CueBank.of(entry(count, seed, size) for seed, count in enumerate(counts))
    assert made is not None
    return made


def test_mean_and_covariance_are_numpys() -> None:
    made, given = entry(), vectors(20).astype(np.float64)
    np.testing.assert_allclose(made.mean, given.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(made.covariance, np.cov(given, rowvar=False), rtol=1e-5, atol=1e-6)
    assert made.count == 20 and {made.mean.dtype, made.covariance.dtype} == {np.dtype(np.float32)}
    assert np.array_equal(made.covariance, made.covariance.T)


def test_long_vectors_are_scaled_down_before_they_are_summed_up() -> None:
    given = vectors(20)
    given[3] *= 1000
    norms = np.linalg.norm(given.astype(np.float64), axis=1, keepdims=True)
    clipped = np.where(norms > 5, given * (5 / norms), given)
    made = CueEntry.of(given, 5.0)
    np.testing.assert_allclose(made.mean, clipped.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(made.covariance, np.cov(clipped, rowvar=False), rtol=1e-4, atol=1e-6)
    made.check(SIZE, 5.0, FEWEST)


def test_one_image_moves_the_mean_no_further_than_the_bound_allows() -> None:
    first, second = vectors(20), vectors(20)
    second[0] = -1e6
    moved = CueEntry.of(first, 5.0).mean - CueEntry.of(second, 5.0).mean
    assert np.linalg.norm(moved) <= 2 * 5.0 / 20 + 1e-6


@pytest.mark.parametrize("given", [vectors(1), np.full((9, SIZE), np.nan, np.float32), vectors(9) * np.inf])
def test_what_has_no_covariance_is_refused(given: NDArray[np.float32]) -> None:
    with pytest.raises(ImplausibleCuesError):
        CueEntry.of(given, LIMIT)


def test_equal_vectors_pass() -> None:
    # A cue extractor may describe all images alike.
    made = CueEntry.of(np.ones((8, SIZE), np.float32), LIMIT)
    made.check(SIZE, LIMIT, FEWEST)
    drawn = CueBank((made,)).draw(np.random.RandomState(0), 5)
    np.testing.assert_allclose(drawn, 1.0, atol=1e-6)


def test_few_images_have_a_covariance_without_full_rank() -> None:
    made = CueEntry.of(vectors(4, size=64), LIMIT)
    made.check(64, LIMIT, FEWEST)
    assert np.isfinite(CueBank((made,)).draw(np.random.RandomState(0), 3)).all()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"count": FEWEST - 1}, "too few"),
        ({"count": 2**40}, "too many"),
        ({"mean": np.zeros(SIZE + 1, np.float32)}, "shape"),
        ({"covariance": np.zeros((SIZE, 1), np.float32)}, "shape"),
        ({"mean": np.zeros(SIZE)}, "type"),
        ({"mean": np.full(SIZE, np.inf, np.float32)}, "not finite"),
        ({"mean": np.full(SIZE, LIMIT, np.float32)}, "beyond the bound"),
        ({"covariance": np.eye(SIZE, dtype=np.float32) * LIMIT**2}, "beyond the bound"),
        ({"covariance": -np.eye(SIZE, dtype=np.float32)}, "positive semidefinite"),
        ({"covariance": np.triu(np.ones((SIZE, SIZE), np.float32))}, "symmetric"),
    ],
)
def test_what_cannot_be_cues_is_refused(changes: dict[str, object], why: str) -> None:
    entry().check(SIZE, LIMIT, FEWEST)
    with pytest.raises(ImplausibleCuesError, match=why):
        replace(entry(), **changes).check(SIZE, LIMIT, FEWEST)  # type: ignore[arg-type]


def test_the_mean_of_the_bank_is_that_of_all_images() -> None:
    given = [vectors(count, seed) for seed, count in enumerate((20, 7, 50))]
    made = CueBank.of(CueEntry.of(some, LIMIT) for some in given)
    assert made is not None and made.images == 77
    np.testing.assert_allclose(made.mean(), np.concatenate(given).mean(axis=0), rtol=1e-5)


def test_the_order_in_which_entries_came_leaves_no_trace() -> None:
    entries = [entry(20, 1), entry(7, 2), entry(20, 3)]
    first, second = CueBank.of(entries), CueBank.of(reversed(entries))
    assert first is not None and second is not None
    for name, array in first.to_arrays().items():
        assert np.array_equal(array, second.to_arrays()[name])
    assert CueBank.of([]) is None


def test_draws_are_a_function_of_their_source() -> None:
    first = bank(20, 30).draw(np.random.RandomState(5), 8)
    assert first.shape == (8, SIZE) and first.dtype == np.float32
    assert np.array_equal(first, bank(20, 30).draw(np.random.RandomState(5), 8))
    assert not np.array_equal(first, bank(20, 30).draw(np.random.RandomState(6), 8))


def test_draws_have_the_mixtures_mean_and_covariance() -> None:
    given = [vectors(4000, 1), vectors(1000, 2) * np.float32(0.5) - 3]
    made = CueBank.of(CueEntry.of(some, LIMIT) for some in given)
    assert made is not None
    drawn, together = made.draw(np.random.RandomState(0), 40_000), np.concatenate(given)
    np.testing.assert_allclose(drawn.mean(axis=0), together.mean(axis=0), atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(together.T), atol=0.2)


def test_a_bank_travels_as_arrays() -> None:
    made = bank(20, 30)
    lent, others = without_cues(made.to_arrays() | {"generator.weight": np.zeros(2, np.float32)})
    assert list(others) == ["generator.weight"]
    again = CueBank.from_arrays(lent, SIZE, LIMIT)
    assert [one.count for one in again.entries] == [30, 20]
    assert np.array_equal(again.draw(np.random.RandomState(1), 4), made.draw(np.random.RandomState(1), 4))


@pytest.mark.parametrize("name", ["cue_bank.counts", "cue_bank.means", "cue_bank.covariances"])
def test_a_bank_that_is_not_whole_is_refused(name: str) -> None:
    arrays = bank(20, 30).to_arrays()
    for changed in (
        {key: array for key, array in arrays.items() if key != name},
        arrays | {name: arrays[name][:1]},
        arrays | {name: arrays[name].astype(np.float64)},
        arrays | {"cue_bank.more": arrays[name]},
    ):
        with pytest.raises(ImplausibleCuesError):
            CueBank.from_arrays(changed, SIZE, LIMIT)  # type: ignore[arg-type]


def test_a_mean_that_travels_alone_is_read_strictly() -> None:
    mean = bank(20).mean()
    assert np.array_equal(read_mean({MEAN: mean}, SIZE), mean)
    for arrays in ({}, {MEAN: mean[:2]}, {MEAN: mean * np.float32(np.nan)}, {MEAN: mean, "more": mean}):
        with pytest.raises(ImplausibleCuesError):
            read_mean(arrays, SIZE)


def test_a_model_file_keeps_the_bank(tmp_path: Path, tiny_experiment: Experiment) -> None:
    path, networks = tmp_path / "model.safetensors", networks_of(tiny_experiment)
    made = CueBank.of(CueEntry.of(vectors(20, size=64) / np.float32(8), 20.0) for _ in range(2))
    assert made is not None
    save_model(path, networks, tiny_experiment, guidance=torch.from_numpy(made.mean()), bank=made)
    model = load_model(path)
    assert model.bank is not None and model.guidance is not None
    assert all(np.array_equal(one, made.to_arrays()[name]) for name, one in model.bank.to_arrays().items())
    assert np.array_equal(model.guidance.numpy()[0], made.mean())
    save_model(path, networks, tiny_experiment, guidance=None)
    assert load_model(path).bank is None


def test_a_model_file_with_a_damaged_bank_is_refused(tmp_path: Path, tiny_experiment: Experiment) -> None:
    path = tmp_path / "model.safetensors"
    far = CueBank((CueEntry.of(vectors(20, size=64) * 9, 1e6),))
    save_model(path, networks_of(tiny_experiment), tiny_experiment, guidance=None, bank=far)
    with pytest.raises(ModelFileError, match="bank of cues"):
        load_model(path)  # v_z beyond the experiment's bound


def test_a_file_of_another_shape_is_refused(tmp_path: Path, tiny_experiment: Experiment) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, networks_of(tiny_experiment), tiny_experiment, guidance=None, bank=bank(20, size=8))
    with pytest.raises(ModelFileError, match="bank of cues"):
        load_model(path)
    save_file(load_file(path), path)
    with pytest.raises(ModelFileError):
        load_model(path)
