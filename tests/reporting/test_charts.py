"""The numbers in the figures equal those of simple pandas computations."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.reporting.axes import MOST_CELLS, axes_of, axis_of, most_influential
from rbt_ray.reporting.charts import charts_of, comparable
from rbt_ray.reporting.equity import drawdown, equity_and_drawdown
from rbt_ray.reporting.heat_map import best_per_cell
from rbt_ray.reporting.history import running_best
from rbt_ray.reporting.parallel import select_lines
from rbt_ray.reporting.theme import downsample, frame, scale_of
from rbt_ray.reporting.timeline import busy
from rbt_ray.store.study_record import read_study
from rbt_ray.store.table import TrialTable
from rbt_ray.study.space import Space

finite = st.floats(-1e6, 1e6)


def figure_of(results, key, name=""):
    (chart,) = [chart for chart in charts_of(read_study(results.path)) if chart.key == key]
    return chart.figures[name]


def numbers(values):
    return np.array([np.nan if value is None else value for value in values], dtype=float)


@pytest.mark.parametrize(("mode", "best"), [("max", "max"), ("min", "min")])
def test_heat_map_cells_are_the_groups_best(tmp_path, rng, write_crossings, mode, best):
    results = write_crossings(tmp_path, rng, mode=mode)
    heat, star = figure_of(results, "over-parameters", "fast × slow")["data"]
    frame = results.get_dataframe()
    fast = frame["config/fast"].astype(str)
    edges = 30 + 2 * np.arange(41)  # 80 values of `slow` in cells of two
    labels = [f"{low} to {low + 1}" for low in edges[:-1]]
    slow = pd.Series(np.array(labels)[np.searchsorted(edges, frame["config/slow"], side="right") - 1])
    expected = frame.groupby([slow, fast])["sharpe"].agg(best).unstack().loc[heat["y"], heat["x"]]
    np.testing.assert_array_equal(numbers(np.ravel(heat["z"])).reshape(40, 20), expected.to_numpy())
    row = frame["sharpe"].agg(f"idx{best}")
    assert (star["x"], star["y"]) == ([fast[row]], [slow[row]])


def test_heat_map_colours_put_zero_in_the_middle_where_signs_differ():
    both = scale_of(np.array([-0.5, 1.0, np.nan, 2.0]))
    assert (both.low, both.high, both.sign) == (-2.0, 2.0, "both")
    good, bad = scale_of(np.array([0.5, 1.0])), scale_of(np.array([-3.0, -1.0]))
    assert (good.low, good.high, good.sign) == (0.5, 1.0, "good")
    assert (bad.low, bad.high, bad.sign) == (-3.0, -1.0, "bad")
    assert good.stops != bad.stops != both.stops


def test_far_outliers_on_the_bad_side_do_not_stretch_the_frame_and_are_counted(rng):
    values = np.append(rng.normal(0, 1, 1_000), [-1e9, -1e9])
    low, high, n_beyond = frame(values)
    assert (low, high, n_beyond) == (values[:-2].min(), values.max(), 2)
    assert frame(np.array([np.nan, np.inf])) == (0.0, 1.0, 0)


def test_every_cell_of_a_pair_is_over_all_other_parameters(tmp_path, rng, write_mixed):
    results = write_mixed(tmp_path, rng)
    frame = results.get_dataframe().query("status == 'COMPLETED'")
    heat = figure_of(results, "over-parameters", "window × step")["data"][0]
    expected = frame.groupby(["config/step", "config/window"])["sharpe"].max().unstack().to_numpy()
    assert (heat["x"], heat["y"]) == (["5", "10", "20", "50"], ["0", "0.25", "0.5", "0.75", "1"])
    np.testing.assert_array_equal(numbers(np.ravel(heat["z"])).reshape(5, 4), expected)
    (chart,) = [chart for chart in charts_of(read_study(results.path)) if chart.key == "over-parameters"]
    assert len(chart.figures) == 15


def test_trials_without_a_parameter_have_a_cell_of_their_own(tmp_path, rng, write_mixed):
    results = write_mixed(tmp_path, rng)
    frame = results.get_dataframe().query("status == 'COMPLETED'")
    off = frame[frame["config/opt/lr"].isna()]
    heat = figure_of(results, "over-parameters", "opt/lr × window")["data"][0]
    assert heat["x"][-1] == "off"
    expected = off.groupby("config/window")["sharpe"].max().to_numpy()
    np.testing.assert_array_equal([row[-1] for row in heat["z"]], expected)
    assert len(heat["x"]) == MOST_CELLS + 1


@given(arrays.arrays(np.float64, st.integers(1, 400), elements=st.floats(1e-3, 1e6)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cells_keep_the_order_of_numbers_and_name_the_values_in_them(values, log):
    domain = (rbt.loguniform if log else rbt.uniform)(1e-3, 1e6)
    axis = axis_of("x", domain, values)
    order = np.argsort(values)
    assert (np.diff(axis.cell[order]) >= 0).all()
    assert 0 <= axis.cell.min() <= axis.cell.max() < len(axis.labels) <= MOST_CELLS
    assert len(set(axis.labels)) == len(axis.labels)


def test_whole_numbers_fall_into_the_cell_that_names_them():
    values = np.arange(-100.0, 300.0, 3)
    axis = axis_of("x", rbt.randint(-100, 300), values)
    for value, cell in zip(values, axis.cell, strict=True):
        low, _, high = axis.labels[cell].partition(" to ")
        assert int(low) <= value <= int(high or low)


def test_many_options_keep_a_cell_while_there_are_few_enough(rng):
    column = np.concatenate([np.repeat(np.arange(59.0), 3), np.arange(59.0, 200.0)])
    axis = axis_of("x", rbt.choice([f"name {i}" for i in range(200)]), column)
    assert axis.labels == (*(f"name {i}" for i in range(59)), "141 others")
    assert (axis.cell[:177] == column[:177]).all()
    assert (axis.cell[177:] == 59).all()


def test_equal_labels_are_numbered():
    axis = axis_of("x", rbt.choice([1, "1", True, None]), np.arange(4.0))
    assert axis.labels == ("1", "1 (2)", "True", "None")


def test_the_parameters_that_matter_are_chosen(rng):
    points = rng.integers(0, 5, (2_000, 9)).astype(float)
    axes = [axis_of(f"p{i}", rbt.randint(0, 5), column) for i, column in enumerate(points.T)]
    loss = points[:, 7] + points[:, 2] + rng.normal(0, 0.1, 2_000)
    assert [axis.name for axis in most_influential(axes, loss, 2)] == ["p2", "p7"]
    assert len(most_influential(axes, loss, 9)) == 9


def test_the_running_best_is_a_cumulative_maximum_over_trials_at_full_fidelity(tmp_path, rng, write_study):
    n = 500
    values = rng.normal(0, 1, n)
    fidelity = np.where(np.arange(10) % 3 == 0, 0.3, 1.0)
    errors = {int(row): "no" for row in range(0, n, 9)}
    space = {"x": rbt.uniform(0, 1)}
    given = {"errors": errors, "fidelity": fidelity.tolist(), "batch": 50, "mode": "min"}
    results = write_study(tmp_path, space, rng.random((n, 1)), {"sharpe": values}, **given)
    frame = results.get_dataframe()
    counts = (frame["status"] == "COMPLETED") & (frame["fidelity"] == 1.0)
    best = frame["sharpe"].where(counts).cummin().ffill()
    traces = {trace["name"]: trace for trace in figure_of(results, "history")["data"]}
    line = traces["best so far"]
    np.testing.assert_array_equal(line["y"], best[line["x"]])
    drawn = pd.Series(line["y"], line["x"]).reindex(range(n)).ffill()
    pd.testing.assert_series_equal(drawn, best, check_names=False, check_index=False)
    assert traces["sharpe"]["x"] == frame.index[counts].tolist()
    assert traces["sharpe"]["y"] == frame["sharpe"][counts].tolist()
    assert traces["did not complete"]["x"] == sorted(errors)
    assert traces["lower fidelity"]["x"] == frame.index[(frame["status"] == "COMPLETED") & ~counts].tolist()


@given(arrays.arrays(np.float64, st.integers(1, 300), elements=finite), st.data())
def test_running_best_rises_only_where_it_rose(goodness, data):
    counts = data.draw(arrays.arrays(np.bool_, len(goodness)))
    steps, best = running_best(goodness, counts)
    expected = pd.Series(np.where(counts, goodness, np.nan)).cummax().ffill()
    assert (best == expected[steps].to_numpy()).all()
    assert len(steps) <= expected.nunique() + 1
    assert (len(steps) == 0) == (not counts.any())


@given(arrays.arrays(np.float64, st.integers(0, 500), elements=finite), st.integers(4, 60))
def test_decimation_keeps_the_ends_and_every_stretchs_extremes(values, most):
    kept = downsample(values, most)
    assert len(kept) <= max(most, 0) or len(kept) == len(values) <= most
    assert (np.diff(kept) > 0).all()
    if len(values):
        assert {0, len(values) - 1} <= set(kept.tolist())
        assert values[kept].min() == values.min()
        assert values[kept].max() == values.max()
    if len(values) > most:
        stretch = np.arange(len(values)) * ((most - 2) // 2) // len(values)
        whole = pd.Series(values).groupby(stretch).agg(["min", "max"])
        pd.testing.assert_frame_equal(pd.Series(values[kept]).groupby(stretch[kept]).agg(["min", "max"]), whole)


def test_drawdown_is_that_of_pandas_and_counts_the_start(rng):
    equity = np.cumprod(1 + rng.normal(0, 0.02, 800))
    series = pd.Series(np.append(1.0, equity))
    np.testing.assert_allclose(drawdown(equity), (series / series.cummax() - 1)[1:], rtol=0, atol=1e-15)
    assert drawdown(np.array([0.5, 0.0]))[0] == -0.5


def test_wealth_is_drawn_with_the_holdout_shaded(tmp_path, rng, write_crossings):
    results = write_crossings(tmp_path, rng)
    figure = figure_of(results, "equity")
    curves = results.review.curves
    wealth, falls = figure["data"][0], figure["data"][1]
    np.testing.assert_array_equal(wealth["y"], curves["equity"])
    np.testing.assert_array_equal(falls["y"], drawdown(curves["equity"]))
    assert figure["layout"]["shapes"][0]["x0"] == curves["time_ms"][1_500]
    assert figure["layout"]["shapes"][0]["x1"] == curves["time_ms"][-1]
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["hold-out", "in-sample"]
    unshaded = equity_and_drawdown({name: curves[name] for name in ("time_ms", "equity")}, 2_000)
    assert "shapes" not in unshaded["layout"]
    assert len(unshaded["data"]) == 2


def test_a_bankrupt_is_not_drawn_on_a_logarithm(rng):
    curves = {"time_ms": np.arange(3.0), "equity": np.array([1.0, 100.0, 0.0])}
    assert equity_and_drawdown(curves, 3)["layout"]["yaxis"]["type"] == "linear"
    rich = {"time_ms": np.arange(3.0), "equity": np.array([1.0, 10.0, 100.0])}
    assert equity_and_drawdown(rich, 3)["layout"]["yaxis"]["type"] == "log"


def test_a_million_bars_are_drawn_with_their_extremes(rng):
    equity = np.cumprod(1 + rng.normal(0, 1e-3, 10**6))
    line = equity_and_drawdown({"time_ms": np.arange(1e6), "equity": equity}, 10**6)["data"][0]
    assert len(line["x"]) <= 4_000
    assert (min(line["y"]), max(line["y"])) == (equity.min(), equity.max())


def test_parallel_coordinates_hold_the_best_and_evenly_spaced_others(tmp_path, rng, write_mixed):
    results = write_mixed(tmp_path, rng)
    lines = figure_of(results, "parallel")["data"][0]
    frame = results.get_dataframe().query("status == 'COMPLETED'").sort_values("sharpe", ascending=False)
    metric = np.array(lines["dimensions"][-1]["values"])
    assert len(metric) == 1_000
    assert metric[::-1][:500].tolist() == frame["sharpe"][:500].tolist()
    ranks = frame["sharpe"].rank(ascending=False).to_numpy()
    rest = np.searchsorted(-frame["sharpe"], -metric[:500])[::-1]
    assert (rest[0], rest[-1]) == (500, len(ranks) - 1)
    assert np.ptp(np.diff(rest)) <= 1
    dimensions = {dimension["label"]: dimension for dimension in lines["dimensions"]}
    assert dimensions["opt/warm"]["ticktext"] == ["True", "False"]
    assert dimensions["opt/lr"]["ticktext"][0] == "off"
    values = np.array(dimensions["opt/lr"]["values"])[::-1][:500]
    rates = frame["config/opt/lr"][:500]
    np.testing.assert_allclose(values[rates.notna()], np.log10(rates.dropna()), rtol=1e-15)
    assert set(values[rates.isna()]) == {dimensions["opt/lr"]["tickvals"][0]}
    assert set(dimensions["window"]["values"]) == {5.0, 10.0, 20.0, 50.0}


def test_all_lines_are_drawn_where_there_are_few():
    goodness = np.array([3.0, 1.0, 2.0])
    assert select_lines(goodness).tolist() == [1, 2, 0]


def batches_table(batches, workers):
    study = type("Study", (), {"space": Space.of({"x": rbt.uniform(0, 1)})})
    nothing = np.empty(0)
    outcomes = Outcomes(np.empty(0, np.uint8), {}, {}, nothing)
    return TrialTable(study, nothing, np.empty((0, 1)), nothing, outcomes, nothing, workers, np.array(batches))


def test_the_timeline_adds_up_and_cuts_out_pauses():
    day = 86_400.0
    seen = busy(batches_table([(0, 100, 4, 4), (1, 101, 2, 2), (0, 104, 1, 1), (1, 100 + day, 5, 5)], ("a", "b")))
    assert seen.busy_s.tolist() == [5.0, 7.0]
    assert (seen.span, seen.pauses.tolist(), seen.cuts.tolist()) == (10.0, [day - 5], [5.0])
    bars = list(zip(seen.worker.tolist(), seen.start.tolist(), seen.length.tolist(), strict=True))
    assert bars == [(0, 0.0, 4.0), (0, 4.0, 1.0), (1, 1.0, 2.0), (1, 5.0, 5.0)]


def test_many_batches_are_merged_over_the_smallest_gaps(rng):
    gaps = rng.exponential(1.0, (2, 3_000))
    starts = 1.7e9 + np.cumsum(gaps + 0.5, axis=1)
    batches = [(w, starts[w, i], 0.5, 0.5) for w in range(2) for i in range(3_000)]
    seen = busy(batches_table(batches, ("a", "b")))
    assert len(seen.worker) == 2_000
    assert seen.n_batches.sum() == 6_000
    assert seen.busy_s.tolist() == [1_500.0, 1_500.0]
    assert (seen.share * seen.length).sum() == pytest.approx(3_000.0)
    for worker in range(2):
        rows = seen.worker == worker
        starts, ends = seen.start[rows], (seen.start + seen.length)[rows]
        hidden = (seen.length * (1 - seen.share))[rows & (seen.n_batches == 2)]
        assert hidden.max() < (starts[1:] - ends[:-1]).min() + 1e-5


def test_only_finite_metrics_at_full_fidelity_are_compared(tmp_path, write_study):
    values = np.array([1.0, np.inf, np.nan, -np.inf, 2.0])
    results = write_study(tmp_path, {"x": rbt.uniform(0, 1)}, np.linspace(0.1, 0.9, 5)[:, None], {"sharpe": values})
    rows, goodness = comparable(results.table)
    assert (rows.tolist(), goodness.tolist()) == ([0, 4], [1.0, 2.0])
    assert [axis.labels for axis in axes_of(results.table, rows)] == [("0.1", "0.9")]
    line, star = figure_of(results, "over-parameters")["data"]
    assert (line["x"], line["y"], star["x"], star["y"]) == (["0.1", "0.9"], [1.0, 2.0], ["0.9"], [2.0])


@given(arrays.arrays(np.int64, st.tuples(st.just(2), st.integers(1, 60)), elements=st.integers(0, 4)), st.data())
@settings(deadline=None)
def test_best_per_cell_is_a_groupby(cells, data):
    goodness = data.draw(arrays.arrays(np.float64, cells.shape[1], elements=finite))
    axes = [axis_of(name, rbt.randint(0, 5), row.astype(float)) for name, row in zip("xy", cells, strict=True)]
    found = best_per_cell(axes, goodness)
    expected = pd.Series(goodness).groupby([cells[0], cells[1]]).max().unstack().to_numpy()
    np.testing.assert_array_equal(found, expected)
