"""Windows: which bars are purged, ranges of bars, and definitions that are read again."""

import itertools
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.errors import JournalError
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, BundleId, Study
from rbt_ray.study.windows import Window, WindowPlan, bars_of, purged, ranges_of

N = 60
MASKS = st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)


@given(MASKS, st.integers(0, 9), st.integers(0, 9))
def test_training_bars_keep_their_distance_from_test_bars(is_test, purge, embargo):
    test = ranges_of(np.flatnonzero(is_test))
    train = np.flatnonzero(purged(~is_test, test, purge, embargo))
    distance = np.abs(train[:, None] - np.flatnonzero(is_test))
    assert (distance > purge).all()
    for _, stop in test:
        assert not ((train >= stop) & (train < stop + embargo)).any()
    # No other bar is left out.
    near = [bar for bar in range(N) if any(start - purge <= bar < stop + purge + embargo for start, stop in test)]
    assert set(train) == set(range(N)) - set(near)


@given(MASKS, st.lists(st.tuples(st.integers(0, N - 1), st.integers(1, 12)), max_size=30), st.integers(0, 9))
def test_no_training_bar_belongs_to_a_position_that_is_open_on_a_test_bar(is_test, positions, embargo):
    """Positions of random bars of entry and holding periods, the longest of which `purge` covers."""
    purge = max((length for _, length in positions), default=0)
    train = purged(~is_test, ranges_of(np.flatnonzero(is_test)), purge, embargo)
    for entry, length in positions:
        held = slice(entry, entry + length)
        assert not (is_test[held].any() and train[held].any())


@given(MASKS.filter(np.any))
def test_ranges_hold_the_bars_that_they_were_made_of(mask):
    bars = np.flatnonzero(mask)
    ranges = ranges_of(bars)
    assert bars_of(ranges).tolist() == bars.tolist()
    assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(ranges))


PLAN = WindowPlan("WalkForward(train=8, test=1)", (Window(((0, 10), (12, 20)), ((25, 30),)),), 2)


@pytest.fixture
def study():
    return Study(
        "s",
        Space.of({"n": rbt.randint(0, 9)}),
        "score",
        "max",
        "random",
        2,
        seed=1,
        max_pending=2,
        deterministic=True,
        objective=Address("mine:f", {}, "", "f" * 64),
        bundle=BundleId("b", "v", 40, 30),
        validation=PLAN,
    )


def test_a_definition_with_windows_is_read_again(study):
    assert Study.from_json(json.loads(json.dumps(study.to_json()))).validation == PLAN


@pytest.mark.parametrize(
    "train",
    [
        [],
        [[5, 5]],
        [[3, 2]],
        [[0, 31]],
        [[-1, 5]],
        [[0, 5], [5, 9]],
        [[0, 9], [4, 12]],
        [[0, True]],
        [[0, 1.5]],
        [[1]],
        7,
    ],
)
def test_a_definition_with_ranges_that_are_not_of_its_bars_is_damaged(study, train):
    plain = json.loads(json.dumps(study.to_json()))
    plain["validation"]["windows"][0]["train"] = train
    with pytest.raises(JournalError, match="definition is damaged"):
        Study.from_json(plain)


def test_a_definition_with_windows_and_no_bundle_is_damaged(study):
    plain = json.loads(json.dumps(replace(study, bundle=None).to_json()))
    assert plain["validation"] == json.loads(json.dumps(asdict(PLAN)))
    with pytest.raises(JournalError, match="definition is damaged"):
        Study.from_json(plain)
