"""Null models of a gradient."""

import numpy as np
import pytest
from scipy import stats

from grokcrit.base.rng import stream
from grokcrit.base.vocabulary import SURROGATES
from grokcrit.cascades.surrogates import surrogate


def test_none_is_the_snapshot_itself():
    gradient = np.array([3.0, -1.0, 0.0])
    np.testing.assert_array_equal(surrogate("none", gradient, stream("x")), gradient)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_gaussian_is_standard_normal_and_knows_nothing_of_the_data(dtype):
    small = np.full(20_001, 1e-9, dtype)
    large = np.linspace(-5, 900, 20_001).astype(dtype)
    a, b = (
        surrogate("gaussian", small, stream("x", 1)),
        surrogate("gaussian", large, stream("x", 1)),
    )
    assert a.dtype == dtype
    assert a.shape == small.shape
    np.testing.assert_array_equal(a, b)
    assert stats.kstest(a, "norm").pvalue > 1e-3
    assert (a != surrogate("gaussian", small, stream("x", 2))).any()
    assert (small == dtype(1e-9)).all()


HEAVY = np.concatenate([stream("heavy").standard_t(2, 997), np.zeros(20), np.full(6, -0.5)])
TENSORS = (0, 400, 401, 1000)


def parts(values):
    return np.split(values, TENSORS[1:])


@pytest.mark.parametrize("name", SURROGATES)
def test_no_surrogate_changes_its_snapshot(name):
    before = HEAVY.copy()
    surrogate(name, HEAVY, stream("x"), TENSORS)
    assert HEAVY.tobytes() == before.tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_has_the_length_and_the_type_of_its_snapshot(name, dtype):
    made = surrogate(name, HEAVY.astype(dtype), stream("x"), TENSORS)
    assert (made.dtype, made.shape) == (dtype, HEAVY.shape)


@pytest.mark.parametrize("name", SURROGATES)
def test_the_same_stream_gives_the_same_surrogate_and_another_another(name):
    a, b, c = (surrogate(name, HEAVY, stream("x", k), TENSORS) for k in (1, 1, 2))
    assert a.tobytes() == b.tobytes()
    assert (a.tobytes() == c.tobytes()) == (name in ("none", "gaussianize"))


def test_permute_keeps_the_values_and_leaves_no_tensor_alone():
    made = surrogate("permute", HEAVY, stream("x"), TENSORS)
    assert sorted(made) == sorted(HEAVY)
    assert all(sorted(a) != sorted(b) for a, b in zip(parts(made), parts(HEAVY), strict=True))


def test_permute_layers_keeps_the_values_of_each_tensor_and_moves_them():
    made = surrogate("permute-layers", HEAVY, stream("x"), TENSORS)
    for a, b in zip(parts(made), parts(HEAVY), strict=True):
        assert sorted(a) == sorted(b)
        assert len(a) < 2 or (a != b).any()


@pytest.mark.parametrize("name", ["permute", "permute-layers"])
def test_a_permutation_puts_every_value_anywhere_equally_often(name):
    values = np.arange(5.0)
    places = np.zeros((5, 5))
    for k in range(4000):
        places[np.arange(5), surrogate(name, values, stream("x", k)).astype(int)] += 1
    assert stats.chisquare(places.ravel()).pvalue > 1e-3


def test_sign_flip_keeps_magnitudes_in_place_and_forgets_the_signs():
    positive = np.abs(HEAVY)
    made = surrogate("sign-flip", positive, stream("x"))
    np.testing.assert_array_equal(np.abs(made), positive)
    flipped = int((made[positive > 0] < 0).sum())
    assert stats.binomtest(flipped, int((positive > 0).sum())).pvalue > 1e-3


def test_gaussianize_keeps_ranks_ties_places_and_signs():
    made = surrogate("gaussianize", HEAVY, stream("x"))
    np.testing.assert_array_equal(
        stats.rankdata(np.abs(made)[HEAVY != 0]), stats.rankdata(np.abs(HEAVY)[HEAVY != 0])
    )
    np.testing.assert_array_equal(np.sign(made), np.sign(HEAVY))


def test_gaussianize_makes_the_magnitudes_half_normal():
    heavy = stream("heavy", 1).standard_t(1, 5000)
    made = np.sort(np.abs(surrogate("gaussianize", heavy, stream("x"))))
    wanted = stats.halfnorm.ppf((np.arange(5000) + 0.5) / 5000)
    np.testing.assert_allclose(made, wanted, rtol=1e-9)
