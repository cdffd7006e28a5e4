"""Dominance, fronts and hypervolumes, against their definitions and moocore."""

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.pareto import best_first, by_evaluations, crowding_distance, fronts, hypervolume, non_dominated


@st.composite
def losses(draw, *, finite=False, most=25):
    """``(n, n_metrics)`` losses of which many are equal, in one metric or in all."""
    n_metrics = draw(st.integers(2, 4))
    number = st.integers(0, draw(st.integers(1, 6))).map(float)
    if not finite:
        number |= st.just(np.nan) | st.just(np.inf)
    rows = draw(st.lists(st.lists(number, min_size=n_metrics, max_size=n_metrics), max_size=most))
    return np.array(rows, np.float64).reshape(len(rows), n_metrics)


def dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


@settings(deadline=None)
@given(losses())
def test_no_other_row_dominates_those_that_are_kept(rows):
    known = [not np.isnan(row).any() for row in rows]
    expected = [
        ok and not any(other_ok and dominates(other, row) for other, other_ok in zip(rows, known, strict=True))
        for row, ok in zip(rows, known, strict=True)
    ]
    assert non_dominated(rows).tolist() == expected


@settings(deadline=None)
@given(losses(finite=True), st.integers(0, 30))
def test_a_front_is_what_only_rows_of_earlier_fronts_dominate(rows, n):
    found = fronts(rows)
    for row, front in zip(rows, found.tolist(), strict=True):
        above = [other for other, before in zip(rows, found.tolist(), strict=True) if before == front - 1]
        same = [other for other, beside in zip(rows, found.tolist(), strict=True) if beside == front]
        assert front == 0 or any(dominates(other, row) for other in above)
        assert not any(dominates(other, row) for other in same)
    some = fronts(rows, n)
    first = found < some.max(initial=0)
    assert (some[first] == found[first]).all()
    assert (some == some.max(initial=0)).sum() == (~first).sum()


@settings(deadline=None)
@given(losses(finite=True), st.integers(0, 30))
def test_the_best_rows_come_by_front_and_each_once(rows, n):
    order = best_first(rows)
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert (np.diff(fronts(rows)[order]) >= 0).all()
    assert best_first(rows, n).tolist() == order[:n].tolist()


def test_a_row_in_an_empty_region_comes_before_those_in_a_crowd():
    line = np.array([[0, 10], [1, 9], [1.1, 8.9], [1.2, 8.8], [5, 5], [10, 0], [10, 0]], float)
    distance = crowding_distance(line)
    assert distance[[0, 5]].tolist() == [np.inf, np.inf]
    assert distance[6] == 0  # equal to the one before
    assert best_first(line).tolist()[:3] == [0, 5, 4]


@settings(deadline=None)
@given(losses(finite=True, most=12))
def test_the_hypervolume_is_that_of_moocore(rows):
    reference = np.full(rows.shape[1], 4.0)
    expected = moocore.hypervolume(rows, ref=reference) if len(rows) else 0.0
    assert hypervolume(rows, reference) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(losses(most=12))
def test_the_hypervolume_by_evaluations_is_that_of_the_first_rows(rows):
    reference = np.full(rows.shape[1], 4.0)
    expected = [hypervolume(rows[: n + 1], reference) for n in range(len(rows))]
    assert by_evaluations(rows, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("n_metrics", [2, 3, 5])
def test_many_rows_have_the_volume_that_moocore_computes(n_metrics):
    rng = np.random.default_rng(n_metrics)
    rows = np.abs(rng.normal(size=(60, n_metrics)))
    rows /= np.linalg.norm(rows, axis=1)[:, None]  # a sphere: no row dominates another
    behind = np.repeat(rows, 30, axis=0) + rng.random((1_800, n_metrics))
    rows = np.concatenate([rows, behind])[rng.permutation(1_860)]
    reference = np.full(n_metrics, 1.1)
    expected = moocore.hypervolume(rows, ref=reference)
    assert hypervolume(rows, reference) == pytest.approx(expected, rel=1e-12)
    assert by_evaluations(rows, reference)[-1] == pytest.approx(expected, rel=1e-12)
