"""The workload's objective, written as users write it, against the package's own backtest."""

import numpy as np
import pytest

import rbt_ray as rbt
from benchmarks.crossover import crossover, old_bundle
from benchmarks.workload import Longer, OnArray, OnMapped, OnOwn, Plain, Size, grid_of, known_best, run, write_parquet


@pytest.fixture(scope="module")
def bundle():
    return old_bundle()


@pytest.mark.parametrize(("fast", "slow"), [(5, 60), (45, 200), (60, 61)])
def test_the_crossover_is_the_packages(bundle, fast, slow):
    data = bundle.view()
    above = data.sma("close", fast) > data.sma("close", slow) * (1 + 1e-9)
    run = rbt.backtest(data, above / data.n_symbols, "next_close", "every_bar")
    targets = np.vstack([np.zeros(data.n_symbols), above[:-1] / data.n_symbols])
    # The old evaluation charged the change of targets, and nothing for undoing the drift between them.
    returns = run.returns - 5e-4 * np.abs(np.diff(targets, axis=0, prepend=0.0)).sum(axis=1)
    found = crossover(bundle.close, fast, slow)
    # Sums of 5,124 returns in another order: some 1e-13 of the largest, which the ratio's noise is far above.
    assert found["total_return"] == pytest.approx(np.prod(1 + returns) - 1, rel=1e-9)
    assert found["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(252), rel=1e-9)


def test_all_ways_to_the_prices_give_the_same_bits(bundle, tmp_path):
    bundle.save(tmp_path / "prices.arrow")
    write_parquet(bundle.close, tmp_path / "prices.parquet")
    config = {"fast": 7, "slow": 90}
    mapped, own = OnMapped(str(tmp_path / "prices.arrow")), OnOwn(str(tmp_path / "prices.parquet"))
    np.save(tmp_path / "prices.npy", bundle.close)
    array = Longer(OnArray(str(tmp_path / "prices.npy")), 1e-3)
    assert mapped(config, None) == own(config, None) == array(config, None) == crossover(bundle.close, 7, 90)


def test_a_loop_a_kept_pool_and_studies_do_the_same_work(tmp_path):
    size = Size(n_batches=2, of_each=2)
    places = [tmp_path / str(i) for i in range(3)]
    for place in places:
        place.mkdir()
    loop = run((), size, Plain("serial", "array"), places[0])
    kept = run((), size, Plain("kept", "array"), places[1])
    studies = run(("persistent_pool", "shared_bundle"), size, Plain(), places[2])
    assert loop["table"] == kept["table"] == studies["table"]
    assert loop["best"] == kept["best"] == studies["best"]


def test_the_known_best_of_a_batch_is_a_grid_studys(bundle, tmp_path):
    results = rbt.Tuner(
        lambda params, data: crossover(data.close, params["fast"], params["slow"]),
        param_space={name: rbt.choice(values) for name, values in grid_of(0).items()},
        bundle=bundle,
        tune_config=rbt.TuneConfig(metric="sharpe", search_alg="grid"),
        run_config=rbt.RunConfig("w", tmp_path, backend="local", num_workers=2, verbose=0),
    ).fit()
    assert known_best(1) == [results.get_best_result().metrics["sharpe"]]
