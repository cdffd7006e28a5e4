from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.data.memo import ABSENT, Memo
from rbt_ray.errors import InputError

Pair = namedtuple("Pair", "left right")


def _doubled(view, *args):
    _doubled.calls += 1
    return view.close * 2


_doubled.calls = 0


def test_a_result_is_computed_once_for_each_number_of_bars_and_arguments(small):
    memo = Memo()
    view = small.view(memo=memo)
    calls = _doubled.calls
    first = view.memo(_doubled, 5)
    assert view.memo(_doubled, 5) is first
    assert small.view(memo=memo).memo(_doubled, 5) is first
    assert view.for_trial(3).memo(_doubled, 5) is first
    assert _doubled.calls == calls + 1
    np.testing.assert_array_equal(first, small.close * 2)
    assert small.view(10, memo).memo(_doubled, 5).shape == (10, 3)
    other = type(small).from_arrays({"close": small.close * 3}, small.index, small.symbols)
    np.testing.assert_array_equal(other.view(memo=memo).memo(_doubled, 5), small.close * 6)
    assert _doubled.calls == calls + 3


def test_arguments_of_other_types_are_other_arguments(small):
    view = small.view()

    def kinds(_, *args):
        return repr(args)

    for args in [(5,), (5.0,), (True,), (1,), ((1, 5),), ((1, 5.0),), (((1,),),), (((True,),),), ("1",), (None,), ()]:
        assert view.memo(kinds, *args) == repr(args)
        assert view.memo(kinds, *args) == repr(args)


def test_results_are_read_only(small):
    view = small.view()
    array = view.memo(lambda data: np.ones(3))
    pair = view.memo(lambda data: Pair(np.ones(3), 5))
    mapping = view.memo(lambda data: {"a": np.ones(3), "b": (np.ones(2), None)})
    for found in (array, pair.left, mapping["a"], mapping["b"][0]):
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 7
    with pytest.raises(TypeError):
        mapping["a"] = 1
    assert isinstance(pair, Pair)
    assert pair.right == 5
    assert view.memo(lambda data: None) is None


@pytest.mark.parametrize("result", [[1, 2], {1}, SimpleNamespace(), (np.ones(2), [1]), {"a": bytearray()}])
def test_a_result_that_could_be_changed_is_refused(small, result):
    def changeable(_):
        return result

    with pytest.raises(InputError, match=r"`data.memo\(changeable, ...\)`: a cached result must be an array.*; got "):
        small.view().memo(changeable)


@pytest.mark.parametrize("argument", [[1, 2], np.ones(3), {"a": 1}, (1, [2])])
def test_an_argument_that_is_not_hashable_is_refused(small, argument):
    name = type(argument).__name__
    with pytest.raises(
        InputError, match=f"`data.memo\\(_doubled, ...\\)`: arguments must be hashable.*got int, {name}"
    ):
        small.view().memo(_doubled, 1, argument)


def test_an_error_of_the_function_is_its_own_and_is_not_kept(small):
    calls = []

    def failing(_):
        calls.append(1)
        raise TypeError("mine")

    for _ in range(2):
        with pytest.raises(TypeError, match="mine"):
            small.view().memo(failing)
    assert len(calls) == 2


def test_cached_functions_get_no_seed(small):
    trial = small.view().for_trial(7)
    assert trial.memo(lambda data: data.seed) is None
    with pytest.raises(InputError, match="belongs to no trial, so it has no random numbers"):
        trial.memo(lambda data: data.rng.random())


def test_one_memo_may_use_another(small):
    view = small.view()
    result = view.memo(lambda data, k: data.memo(_doubled, k) + 1, 4)
    np.testing.assert_array_equal(result, small.close * 2 + 1)


@given(
    capacity=st.integers(0, 60_000),
    steps=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2000)), max_size=60),
)
def test_the_memo_keeps_the_most_recently_used_that_fit(capacity, steps):
    memo = Memo(capacity)
    model: dict[int, tuple[np.ndarray, int]] = {}  # in order of use
    for key, n in steps:
        found = memo.get(key)
        if key in model:
            assert found is model[key][0]
            model[key] = model.pop(key)
            continue
        assert found is ABSENT
        result, size = np.zeros(n), 512 + 8 * n
        memo.put(key, result)
        if size <= capacity:
            model[key] = (result, size)
            while sum(size for _, size in model.values()) > capacity:
                del model[next(iter(model))]
        assert memo.nbytes == sum(size for _, size in model.values()) <= max(capacity, 0)
        assert len(memo) == len(model)


def test_a_slice_counts_as_the_whole_array_that_it_keeps_alive():
    memo = Memo(10_000)
    memo.put("slice", np.zeros(10_000)[:5])
    assert memo.get("slice") is ABSENT
    memo.put("tuple", (np.zeros(100), {"a": np.zeros(100)}, "text"))
    assert 1600 < memo.nbytes < 5000


def test_a_result_larger_than_the_memo_is_returned_and_not_kept(small):
    memo = Memo(100)
    view = small.view(memo=memo)
    result = view.memo(_doubled, 9)
    np.testing.assert_array_equal(result, small.close * 2)
    assert not result.flags.writeable
    assert len(memo) == 0
    assert view.memo(_doubled, 9) is not result
