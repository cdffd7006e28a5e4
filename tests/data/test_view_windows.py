"""Windows of a view: their bars alone, with a cache that does not mix them."""

import numpy as np
import pandas as pd

import rbt_ray as rbt

INDEX = pd.bdate_range("2020-01-01", periods=40)
BUNDLE = rbt.Bundle.from_arrays(
    {"close": np.where(np.arange(40)[:, None] + np.zeros(2) < [[40, 20]], 100.0 + np.arange(40)[:, None], np.nan)},
    INDEX,
    ["A", "B"],
    listed_until={"B": INDEX[19]},
)


def test_a_window_has_its_bars_and_no_others():
    view = BUNDLE.view()
    part = view.window(5, 30)
    assert part.n_bars == 25
    assert np.array_equal(part.close, view.close[5:30], equal_nan=True)
    assert part.index.tolist() == view.index[5:30].tolist()


def own_sma(values):
    return pd.Series(values).rolling(3).mean().to_numpy()


def test_the_end_of_a_listing_after_a_window_is_unknown_in_it():
    view = BUNDLE.view()
    assert set(view.listed_until) == {"B"}
    assert dict(view.window(0, 20).listed_until) == {}
    assert dict(view.window(0, 10).listed_until) == {}
    assert set(view.window(0, 30).listed_until) == {"B"}


def test_what_is_cached_for_one_window_is_not_used_for_another():
    view = BUNDLE.view()
    for start, stop in ((0, 20), (10, 30), (5, 25), (0, 40)):
        part = view.window(start, stop)
        assert np.array_equal(part.sma("close", 3)[:, 0], own_sma(part.close[:, 0]), equal_nan=True)
    assert view.window(0, 20).version == BUNDLE.view(20).version


def test_a_window_has_the_trials_random_numbers():
    trial = BUNDLE.view().for_trial(7)
    draws = [view.rng.random(3).tolist() for view in (trial.window(3, 30), trial.window(3, 30), trial)]
    assert draws[0] == draws[1] == draws[2]
    seeds = []
    trial.window(3, 30).memo(lambda view: seeds.append(view.seed))
    assert seeds == [None]  # what trials share has no seed
