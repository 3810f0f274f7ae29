"""Random numbers: they depend on seed, purpose and index alone."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpgraph.arrays import random_numbers

PURPOSES = ("init", "order", "split", "data")


def digest(a):
    return hashlib.sha256(a.astype(a.dtype.newbyteorder("<")).tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("arguments", "sha256"),
    [
        ((60000, 0, "order"), "f1b22041acfcf1ea0be24047f391cfa94e5193a340c14254b18cb8d48130f688"),
        ((60000, 0, "order", 1), "c455007f95f9b2bef62ae4540391c07eb59b9c43c8345c8c03ef1d6d14ea405a"),
        ((1000, 2**64 - 1, "split"), "21427e2cd0e0037783f1d893bf83734a9622a6b758dc18342a401e98d8041757"),
    ],
)
def test_permutations_are_pinned(arguments, sha256):
    order = random_numbers.permutation(*arguments)
    assert order.dtype == np.int64
    assert digest(order) == sha256


@given(n=st.integers(0, 300), seed=st.integers(0, 2**64 - 1), purpose=st.sampled_from(PURPOSES), i=st.integers(0, 9999))
def test_a_permutation_has_every_number_once(n, seed, purpose, i):
    order = random_numbers.permutation(n, seed, purpose, i)
    assert sorted(order.tolist()) == list(range(n))
    assert order.tolist() == random_numbers.permutation(n, seed, purpose, i).tolist()


def test_purposes_seeds_and_indices_are_independent():
    keys = [(seed, purpose, i) for seed in (0, 1, 2**40) for purpose in PURPOSES for i in (0, 1, 2, 10**6)]
    drawn = [random_numbers.uniform((64,), *key) for key in keys]
    assert len({d.tobytes() for d in drawn}) == len(keys)
    correlations = np.corrcoef(drawn) - np.eye(len(keys))
    assert np.abs(correlations).max() < 0.6, "64 numbers: 0.125 is one deviation, and there are 1,128 pairs"


def test_a_draw_changes_no_other_and_no_global_state():
    first = random_numbers.normal((5,), 3, "init")
    random_numbers.uniform((100,), 3, "order")
    np.random.random()
    assert random_numbers.normal((5,), 3, "init").tobytes() == first.tobytes()
    np.random.seed(1)
    state = np.random.get_state()[1].tobytes()
    random_numbers.permutation(10, 1, "order")
    assert np.random.get_state()[1].tobytes() == state


def test_draws_have_their_distributions():
    u, z = random_numbers.uniform((200, 500), 0, "data"), random_numbers.normal((200, 500), 0, "data")
    assert (u.dtype, z.dtype, u.shape, z.shape) == ("float64", "float64", (200, 500), (200, 500))
    assert 0 <= u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.005)
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=0.015), pytest.approx(1, abs=0.01))
    first = np.array([random_numbers.permutation(5, seed, "order")[0] for seed in range(2000)])
    assert np.bincount(first).min() > 330, "each of five is first 400 times in 2,000, give or take 18"


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1", True, None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=r"give a whole number from 0 to 2\*\*64 - 1"):
        random_numbers.permutation(3, seed, "order")


def test_numpys_integers_are_seeds():
    one, other = (random_numbers.permutation(9, seed, "order") for seed in (np.int64(5), 5))
    assert one.tolist() == other.tolist()
