"""Shuffle is a permutation, whole or in pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rbt_ray.search.random_draws import Shuffle


@given(st.integers(1, 3000), st.integers(0, 2**32), st.integers(0, 3000))
def test_a_shuffle_has_every_number_once_in_pieces_of_any_size(n, seed, cut):
    order = Shuffle(n, np.random.default_rng(seed))
    whole = order.block(0, n)
    assert sorted(whole.tolist()) == list(range(n))
    cut = min(cut, n)
    assert np.concatenate([order.block(0, cut), order.block(cut, n + 7)]).tolist() == whole.tolist()


@pytest.mark.parametrize("n", [2**32 + 5, 10**18, 2**62])
def test_large_ranges_stay_within_themselves_without_repeats(n):
    numbers = Shuffle(n, np.random.default_rng(1)).block(0, 20_000)
    assert ((numbers >= 0) & (numbers < n)).all()
    assert len(set(numbers.tolist())) == 20_000


def test_every_position_of_a_shuffle_is_equally_likely():
    # 4,000 seeds put number 0 among 10 places; chi-squared refuses an even spread with a probability of 1 %
    places = [int(np.argmin(Shuffle(10, np.random.default_rng([seed, 3])).block(0, 10))) for seed in range(4000)]
    assert stats.chisquare(np.bincount(places, minlength=10)).pvalue > 0.01
