"""Densities against statsmodels' own."""

import warnings

import numpy as np
import pytest

from rbt_ray.search.kernel_model import Density, normal_reference

KINDS = {"numbers": "ccc", "options": "uu", "ordered": "oo", "one number": "c", "mixed": "cuoc", "all": "cucouc"}


def drawn(kinds, n, rng):
    """Levels, and how many options each parameter has; every option occurs, as statsmodels counts those it sees."""
    n_options = np.array([0 if kind == "c" else rng.integers(2, 6) for kind in kinds])
    columns = [
        rng.random(n) if k == 0 else rng.permutation(np.concatenate([np.arange(k), rng.integers(k, size=n - k)]))
        for k in n_options
    ]
    return np.column_stack(columns).astype(float), n_options


@pytest.mark.parametrize("kinds", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("n", [8, 60, 1500])
def test_densities_and_bandwidths_are_statsmodels(kinds, n):
    from statsmodels.nonparametric.kernel_density import KDEMultivariate

    rng = np.random.default_rng([n, len(kinds)])
    data, n_options = drawn(kinds, n, rng)
    points = np.column_stack([rng.random(50) if k == 0 else rng.integers(k, size=50) for k in n_options]).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KDEMultivariate(data, kinds, "normal_reference")
        np.testing.assert_allclose(normal_reference(data), theirs.bw, rtol=1e-12)
        theirs.bw = np.minimum(theirs.bw, 0.9)
        expected = np.atleast_1d(theirs.pdf(points))
    np.testing.assert_allclose(Density(data, kinds, theirs.bw, n_options).pdf(points), expected, rtol=1e-9)


def test_narrow_kernels_close_together_lose_no_digits():
    from statsmodels.nonparametric.kernel_density import KDEMultivariate

    rng = np.random.default_rng(5)
    data = 0.7 + 1e-3 * rng.random((40, 2))
    points = data + 1e-3 * rng.standard_normal(data.shape)
    bandwidths = np.full(2, 1e-3)
    theirs = KDEMultivariate(data, "cc", bandwidths).pdf(points)
    np.testing.assert_allclose(Density(data, "cc", bandwidths, np.zeros(2, int)).pdf(points), theirs, rtol=1e-9)


def test_a_density_does_not_depend_on_how_many_points_it_is_evaluated_at():
    rng = np.random.default_rng(2)
    data, n_options = drawn("ccu", 300, rng)
    density = Density(data, "ccu", np.array([0.1, 0.2, 0.3]), n_options, rng.random(300) + 0.1)
    points = drawn("ccu", 1040, rng)[0]
    parts = [density.pdf(points[first : first + 16]) for first in range(0, len(points), 16)]
    assert density.pdf(points).tolist() == np.concatenate(parts).tolist()


def test_parts_add_up_and_weights_weigh():
    rng = np.random.default_rng(1)
    data, n_options = drawn("cu", 3000, rng)
    bandwidths = np.array([0.1, 0.3])
    density = Density(data, "cu", bandwidths, n_options)
    points = data[:20]
    np.testing.assert_allclose(density.pdf(points, stop=700) + density.pdf(points, start=700), density.pdf(points))
    weights = rng.random(3000)
    weighted = Density(data, "cu", bandwidths, n_options, weights).pdf(points)
    one_by_one = sum(
        w * Density(data[k : k + 1], "cu", bandwidths, n_options).pdf(points) for k, w in enumerate(weights)
    )
    np.testing.assert_allclose(weighted, one_by_one, rtol=1e-9)
