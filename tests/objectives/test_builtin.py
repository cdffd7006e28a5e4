"""Arguments, errors and guarantees of the built-in objectives."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray import objectives
from rbt_ray.errors import InputError
from rbt_ray.objectives import compile as compile_kernels
from rbt_ray.objectives.kind import SweepObjective


def test_importing_them_brings_neither_numba_nor_pandas():
    code = (
        "import sys; from rbt_ray import objectives as o; o.sma_cross(); o.rsi();"
        "print(sorted({'numba', 'pandas', 'scipy', 'ray', 'pyarrow'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_each_is_a_sweep_objective_that_survives_pickling(factory):
    strategy = factory(turnover_bps=2.0, execution="close", metrics=("sharpe", "skew"))
    assert isinstance(strategy, SweepObjective)
    again = pickle.loads(pickle.dumps(strategy))
    assert again == strategy
    assert hash(again) == hash(strategy)
    assert again.metrics == ("sharpe", "skew")
    assert again.with_metrics(("cagr",)).metrics == ("cagr",)
    assert again.metrics == ("sharpe", "skew")


def test_the_docstring_names_every_parameter(factory):
    strategy = factory()
    assert all(f"`{name}`" in factory.__doc__ for name in strategy.params)
    assert set(strategy.example) == set(strategy.params)


def test_the_example_trades_and_not_before_its_warmup(factory, sample_view):
    strategy = factory()
    run = strategy(strategy.example, sample_view)
    assert run.metrics()["n_trades"] > 10
    assert run.metrics()["n_fills"] > 20
    first = int(np.flatnonzero(run.weights.any(axis=1))[0])
    assert first >= strategy.warmup(strategy.example) - 1


def test_whole_numbers_of_any_type_are_windows(sample_view):
    strategy = objectives.sma_cross()
    runs = [strategy({"fast": kind(5), "slow": kind(50)}, sample_view) for kind in (int, float, np.int64, np.float32)]
    assert len({run.returns.tobytes() for run in runs}) == 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: objectives.sma_cross(turnover_bps=-1), "`turnover_bps` is a cost in basis points"),
        (lambda: objectives.sma_cross(turnover_bps="5"), "got '5'"),
        (lambda: objectives.rsi(execution="open"), "`execution` is None or one of 'next_open'"),
        (lambda: objectives.rsi(rebalance="daily"), "`rebalance` is one of 'every_bar', 'on_change'; got 'daily'"),
        (lambda: objectives.rsi(metrics=("sharp",)), "did you mean 'sharpe'"),
        (lambda: objectives.rsi(metrics="sharpe"), "`metrics` is a sequence of names"),
    ],
)
def test_settings_it_cannot_have(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("name", "config", "sentence"),
    [
        ("sma_cross", {"fats": 5, "slow": 50}, "unknown 'fats': did you mean 'fast'"),
        ("sma_cross", {"fast": 5}, "'slow' is missing"),
        ("sma_cross", {"fast": 0, "slow": 50}, "`fast` of `sma_cross` is a whole number of bars, at least 1; got 0"),
        ("sma_cross", {"fast": 5.5, "slow": 50}, "got 5.5"),
        ("sma_cross", {"fast": float("nan"), "slow": 50}, "got nan"),
        ("sma_cross", {"fast": float("inf"), "slow": 50}, "got inf"),
        ("mean_reversion", {"window": 1, "entry": 1, "exit": 0}, "at least 2; got 1"),
        ("momentum", {"lookback": 20, "threshold": -1.5}, "at least -1; got -1.5"),
        ("rsi", {"window": 14, "low": 30, "high": 170}, "`high` of `rsi` is a number from 0 to 100; got 170"),
    ],
)
def test_configs_it_cannot_have(name, config, sentence, sample_view):
    strategy = getattr(objectives, name)()
    with pytest.raises(InputError, match=sentence):
        strategy(config, sample_view)
    good = {name: strategy.example[name] for name in config if name in strategy.example}
    columns = {name: np.array([good.get(name, value), value], dtype=float) for name, value in config.items()}
    with pytest.raises(InputError, match=sentence):
        strategy.evaluate(sample_view, columns)


@pytest.mark.parametrize("value", ["5", None, True, [5]])
def test_a_config_holds_numbers(value, sample_view):
    with pytest.raises(InputError, match="`fast` of `sma_cross` is a whole number of bars"):
        objectives.sma_cross()({"fast": value, "slow": 50}, sample_view)


def test_columns_of_different_lengths_are_refused(sample_view):
    with pytest.raises(InputError, match="one array of shape"):
        objectives.sma_cross().evaluate(sample_view, {"fast": np.ones(2), "slow": np.ones(3)})


def test_fills_at_the_open_need_opens(fx_view):
    strategy = objectives.sma_cross(execution="next_open")
    with pytest.raises(InputError, match='no field "open"'):
        strategy(strategy.example, fx_view)
    with pytest.raises(InputError, match='no field "open"'):
        strategy.evaluate(fx_view, {"fast": np.ones(2), "slow": np.ones(2)})


def test_no_config_is_no_result(factory, sample_view):
    strategy = factory()
    swept = strategy.evaluate(sample_view, {name: np.empty(0) for name in strategy.params})
    assert {name: values.shape for name, values in swept.items()} == dict.fromkeys(strategy.metrics, (0,))


def test_none_looks_ahead(factory):
    strategy = factory()
    bundle = rbt.load_bundle("sample")
    tampered = {field: bundle[field].copy() for field in bundle.fields}
    for values in tampered.values():
        values[2000:] *= 1.5
    other = rbt.Bundle.from_arrays(tampered, bundle.index, bundle.symbols)
    runs = [strategy(strategy.example, prices.view()) for prices in (bundle, other)]
    np.testing.assert_array_equal(runs[0].returns[:2000], runs[1].returns[:2000])


def test_set_up_compiles_every_kernel(capsys):
    package = Path(rbt.__file__).parent
    sources = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): file.read_text(encoding="utf-8")
        for file in package.rglob("*.py")
    }
    at_import = {name for name, source in sources.items() if re.search(r"^@compiled\(", source, re.MULTILINE)}
    in_two_forms = {name for name, source in sources.items() if re.search(r"^ +@compiled\(", source, re.MULTILINE)}
    assert set(compile_kernels.KERNELS) == at_import
    of_rules = {"rbt_ray.objectives.rule.with_exits"}  # a rule's kernel, which is compiled at its first use
    assert set(compile_kernels.IN_TWO_FORMS) == in_two_forms | of_rules
    compile_kernels.main()
    assert "kernels are ready" in capsys.readouterr().out
