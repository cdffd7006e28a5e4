"""Studies over several fidelities: the same table for any workers, also when resumed, with the reported cost."""

import numpy as np
import pytest

import rbt_ray as rbt

SPACE = {"fast": rbt.randint(5, 60), "slow": rbt.randint(60, 250)}


def crossover(params, data):
    fast, slow = data.sma("close", params["fast"]), data.sma("close", params["slow"])
    return rbt.backtest(data, (fast > slow * (1 + 1e-9)) / data.n_symbols)


def noted(params, data):
    """Its score is what it has seen."""
    return {"score": params["x"], "bars": data.n_bars, "symbols": data.n_symbols, "last": str(data.index[-1])}


def learning(params, data):
    """Approaches `x` report by report, and continues from its checkpoint."""
    value, n = rbt.get_checkpoint() or (0.0, 0)
    while n < 100:
        value, n = value + (params["x"] - value) / 3, n + 1
        rbt.report({"score": value, "n": n}, checkpoint=(value, n))


def forgetful(params, data):
    """The same without checkpoints."""
    value = 0.0
    for n in range(100):
        value += (params["x"] - value) / 3
        rbt.report({"score": value, "n": n + 1})


def fit(objective, folder, name="study", space=None, bundle="fx", workers=2, callbacks=(), **tune):
    return rbt.Tuner(
        objective,
        param_space=space or SPACE,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"search_alg": "bohb", "num_samples": 40, "seed": 7, **tune}),
        run_config=rbt.RunConfig(name, folder, num_workers=workers, recheck=0, verbose=0, callbacks=callbacks),
    ).fit()


ALGORITHMS = [
    {"search_alg": "bohb"},
    {"search_alg": "random", "scheduler": "asha"},
    {"search_alg": "sobol", "scheduler": rbt.ASHA(kind="stopping")},
    {"search_alg": "grid", "scheduler": "successive_halving", "num_samples": 30},
    {"search_alg": "random", "scheduler": "median"},
    {"search_alg": "tpe", "scheduler": "hyperband"},
    {"search_alg": "tpe"},
]


def named(algorithm):
    return "-".join(str(value) for value in algorithm.values())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The study of an algorithm with one worker, which is run once for all tests."""
    studies = {}

    def of(algorithm):
        name = named(algorithm)
        if name not in studies:
            studies[name] = fit(crossover, tmp_path_factory.mktemp("whole"), workers=1, **algorithm)
        return studies[name]

    return of


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=named)
def test_one_worker_and_three_give_the_same_table(tmp_path, whole, algorithm):
    one = whole(algorithm)
    three = fit(crossover, tmp_path, "three", workers=3, **algorithm)
    assert one.table_hash() == three.table_hash()
    assert one.notes == three.notes
    assert one.get_best_result().fidelity == 1.0
    configs = {tuple(result.config.items()) for result in one}
    assert len(configs) == algorithm.get("num_samples", 40)


@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param(
            one,
            marks=[pytest.mark.slow] * (named(one) not in ("bohb", "random-asha", "random-median", "tpe-hyperband")),
        )
        for one in ALGORITHMS
    ],
    ids=named,
)
@pytest.mark.parametrize("stops", [(13,), pytest.param((0, 31), marks=pytest.mark.slow)], ids=["once", "twice"])
def test_stopped_anywhere_it_ends_in_the_same_table(tmp_path, whole, algorithm, stops):
    class StopAt:
        def __init__(self, trial):
            self.trial = trial

        def on_trial_complete(self, result):
            if result.trial_id == self.trial:
                raise InterruptedError

    for stop in stops:
        with pytest.raises(InterruptedError):
            fit(crossover, tmp_path, f"at{stop}", callbacks=[StopAt(stop)], **algorithm)
        run_config = rbt.RunConfig(num_workers=2, recheck=0, verbose=0)
        resumed = rbt.Tuner.restore(tmp_path / f"at{stop}", crossover, run_config=run_config).fit()
        assert resumed.table_hash() == whole(algorithm).table_hash()
        assert resumed.notes == whole(algorithm).notes


def test_a_study_of_one_open_trial_at_a_time_resumes(tmp_path):
    """A proposal at full fidelity is then journaled alone and checked together with others."""

    class Stop:
        def on_trial_complete(self, result):
            if result.trial_id == 45:
                raise InterruptedError

    def bohb(name, **kw):
        return fit(crossover, tmp_path, name, search_alg="bohb", num_samples=40, max_pending=1, workers=1, **kw)

    with pytest.raises(InterruptedError):
        bohb("stopped", callbacks=[Stop()])
    run_config = rbt.RunConfig(num_workers=1, recheck=0, verbose=0)
    resumed = rbt.Tuner.restore(tmp_path / "stopped", crossover, run_config=run_config).fit()
    assert 1.0 in {result.fidelity for result in resumed[:45]}
    assert resumed.table_hash() == bohb("whole").table_hash()


def test_a_lower_fidelity_is_the_first_bars_and_full_fidelity_never_sees_the_hold_out(tmp_path):
    fx = rbt.load_bundle("fx")
    results = fit(noted, tmp_path, space={"x": rbt.uniform(0, 1)}, metric="score", holdout=0.2)
    train = results.study.bundle.train_bars
    assert train < fx.n_bars
    for result in results:
        n_bars = int(np.ceil(result.fidelity * train * (1 - 1e-12)))
        assert result.metrics["bars"] == n_bars
        assert result.metrics["last"] == str(fx.index[n_bars - 1])
    assert {round(1 / result.fidelity) for result in results} == {27, 9, 3, 1}


def test_a_backtests_metric_raises_the_lowest_fidelity_to_a_year_and_twice_the_warm_up(tmp_path):
    fx = rbt.load_bundle("fx")
    user = fit(crossover, tmp_path, "user", num_samples=12)
    assert min(result.fidelity for result in user) == pytest.approx(1 / 27)
    assert fx.n_bars / 27 > 252
    built_in = fit(rbt.objectives.sma_cross(), tmp_path, "built-in", num_samples=12)
    assert min(result.fidelity for result in built_in) == pytest.approx(1 / 9)  # 2 x 249 bars do not fit in a 27th
    sample = fit(rbt.objectives.sma_cross(), tmp_path, "sample", bundle="sample", num_samples=12)
    assert min(result.fidelity for result in sample) == pytest.approx(1 / 3)


def test_symbols_as_fidelity(tmp_path):
    results = fit(noted, tmp_path, space={"x": rbt.uniform(0, 1)}, metric="score", fidelity="symbols")
    seen = {(round(1 / result.fidelity), result.metrics["symbols"]) for result in results}
    assert seen == {(27, 1), (9, 2), (3, 5), (1, 14)}
    assert {result.metrics["bars"] for result in results} == {rbt.load_bundle("fx").n_bars}


def test_blocks_as_fidelity(tmp_path):
    results = fit(noted, tmp_path, space={"x": rbt.uniform(0, 1)}, metric="score", fidelity="blocks")
    fx = rbt.load_bundle("fx")
    for result in results:
        assert result.metrics["bars"] == pytest.approx(result.fidelity * fx.n_bars, abs=8)
        assert result.metrics["last"] >= str(fx.index[fx.n_bars * 7 // 8])


@pytest.mark.parametrize("workers", [1, 3])
def test_continuing_from_a_checkpoint_costs_only_the_new_reports(tmp_path, workers):
    space = {"x": rbt.uniform(0, 1)}
    settings = {"metric": "score", "fidelity": "reports", "max_reports": 27, "bundle": None, "workers": workers}
    on, again = (fit(o, tmp_path, o.__name__, space, **settings) for o in (learning, forgetful))
    assert on.table_hash() == again.table_hash()
    for result in on:
        assert result.metrics["n"] == round(27 * result.fidelity)
    highest = {}
    for result in on:
        highest[result.config["x"]] = max(result.fidelity, highest.get(result.config["x"], 0.0))
    assert on.cost == pytest.approx(sum(highest.values()))
    assert again.cost == pytest.approx(sum(result.fidelity for result in again))


def test_what_went_on_costs_the_same_after_a_resume(tmp_path):
    class Stop:
        def on_trial_complete(self, result):
            if result.trial_id == 20:
                raise InterruptedError

    settings = {"metric": "score", "fidelity": "reports", "max_reports": 27, "bundle": None, "max_cost": 9.0}
    settings["num_samples"] = 1000
    space = {"x": rbt.uniform(0, 1)}
    whole = fit(learning, tmp_path, "whole", space, **settings)
    with pytest.raises(InterruptedError):
        fit(learning, tmp_path, "cut", space, callbacks=[Stop()], **settings)
    resumed = rbt.Tuner.restore(tmp_path / "cut", learning, run_config=rbt.RunConfig(num_workers=2, verbose=0)).fit()
    assert resumed.table_hash() == whole.table_hash()
    assert resumed.cost == pytest.approx(whole.cost)
    assert 8 < whole.cost <= 9 + 1e-6


def test_max_cost_bounds_full_fidelity_equivalents(tmp_path):
    results = fit(crossover, tmp_path, max_cost=20.0, num_samples=1000)
    assert results.cost == pytest.approx(sum(result.fidelity for result in results))
    assert 18 < results.cost <= 20 + 1e-6
    assert len(results) > 20


def test_rungs_give_their_cost_and_rank_correlation(tmp_path):
    from scipy.stats import spearmanr

    results = fit(crossover, tmp_path, num_samples=80)
    frame = results.get_dataframe()
    frame["key"] = list(zip(frame["config/fast"], frame["config/slow"], strict=True))
    full = frame[frame["fidelity"] == 1].set_index("key")["sharpe"]
    assert sum(rung.n_trials for rung in results.rungs) == len(results)
    for rung in results.rungs[:-1]:
        low = frame[np.isclose(frame["fidelity"], rung.fidelity)].set_index("key")["sharpe"]
        both = low.to_frame("low").join(full.rename("full"), how="inner").dropna()
        assert rung.n_compared == len(both) >= 8
        assert rung.correlation == pytest.approx(spearmanr(both["low"], both["full"])[0])


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"num_samples": 20_000}, ("grid", 1)),
        ({"num_samples": 30}, ("bohb", 4)),
        ({"num_samples": 30, "min_fidelity": 1.0}, ("bohb", 1)),
        ({"num_samples": 30, "bundle": None}, ("bohb", 1)),
    ],
    ids=["a space that fits", "a bundle", "full fidelity only", "no bundle"],
)
def test_auto_explains_its_choice(tmp_path, settings, chosen, capsys):
    def objective(params, data):
        return float(params["fast"] * params["slow"])

    tuner = rbt.Tuner(
        objective,
        param_space=SPACE,
        bundle=settings.pop("bundle", "fx"),
        tune_config=rbt.TuneConfig(metric="score", seed=1, **settings),
        run_config=rbt.RunConfig("auto", tmp_path, num_workers=2, recheck=0),
    )
    results = tuner.fit()
    search_alg, n_fidelities = chosen
    assert tuner.study.search_alg == search_alg
    assert len({result.fidelity for result in results}) == n_fidelities
    assert results.notes[0].startswith(f"auto: {search_alg}")
    assert results.notes[0] in capsys.readouterr().err


def test_a_scheduler_without_a_fidelity_is_refused():
    with pytest.raises(
        rbt.errors.SettingError, match=r"`scheduler` chooses fidelities, and there are none without a `bundle`"
    ):
        rbt.Tuner(
            noted,
            param_space={"x": rbt.uniform(0, 1)},
            tune_config=rbt.TuneConfig(metric="score", scheduler="asha"),
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scheduler": "hyperbnad"}, "`scheduler` is one of hyperband, .*did you mean 'hyperband'"),
        ({"scheduler": object()}, "`scheduler` is None, hyperband, asha"),
        ({"fidelity": "suffix"}, "`fidelity` is one of prefix, blocks, symbols, reports"),
        ({"fidelity": "reports"}, "`max_reports` is the number of reports"),
        ({"max_reports": 9}, "is required with `fidelity='reports'` only"),
        ({"search_alg": object()}, "`search_alg` is a name, rbt.BOHB"),
        ({"search_alg": "bohp"}, "did you mean 'bohb'"),
    ],
)
def test_invalid_tune_settings_are_refused(settings, sentence):
    with pytest.raises(rbt.errors.SettingError, match=sentence):
        rbt.TuneConfig(**settings)


def test_settings_of_bohb_draw_as_many_configs_as_its_name(tmp_path):
    results = fit(
        parabola, tmp_path, space=BOX, bundle=None, metric="loss", search_alg=rbt.BOHB(model="tpe"), num_samples=None
    )
    assert len(results) == 100


def test_more_workers_than_trials_may_be_open_is_worth_a_warning(tmp_path):
    with pytest.warns(
        UserWarning, match=r"at most 2 trials open, so some of its 3 workers will idle. Set `max_pending`"
    ):
        fit(crossover, tmp_path, workers=3, max_pending=2, num_samples=5)


def parabola(params, data):
    return (params["x"] - 0.7) ** 2 + (params["y"] - 0.2) ** 2


BOX = {"x": rbt.uniform(0, 1), "y": rbt.uniform(0, 1)}


def test_a_search_begins_with_what_an_earlier_one_found(tmp_path):
    # All 20 are open at once, so that the cold search learns nothing.
    settings = {"bundle": None, "metric": "loss", "mode": "min", "num_samples": 20, "max_pending": 20}
    earlier = fit(parabola, tmp_path, "earlier", BOX, **{**settings, "num_samples": 60})
    cold = fit(parabola, tmp_path, "cold", BOX, **settings, search_alg=rbt.BOHB())
    rows = [(result.config, 1.0, result.metrics["loss"]) for result in earlier]
    given = {"grid": earlier, "folder": tmp_path / "earlier", "rows": rows}
    warm = {how: fit(parabola, tmp_path, how, BOX, **settings, warm_start=what) for how, what in given.items()}
    assert len({results.table_hash() for results in warm.values()}) == 1
    assert len(warm["grid"]) == 20
    assert warm["grid"][0].config == earlier.get_best_result().config
    mean = {name: np.mean([r.metrics["loss"] for r in results]) for name, results in {**warm, "cold": cold}.items()}
    assert mean["grid"] < mean["cold"] / 2
    again = rbt.Tuner.restore(tmp_path / "rows", parabola)
    assert again.study.warm_start == rbt.Tuner.restore(tmp_path / "grid", parabola).study.warm_start != ()


@pytest.mark.parametrize(
    ("warm_start", "alg", "sentence"),
    [
        ([({"x": 0.5, "z": 1}, 1.0, 2.0)], "bohb", "no result with a 'loss' whose config lies in this study's space"),
        ([(1, 2)], "bohb", r"rows of `warm_start` are \(config, fidelity above 0"),
        ([({"x": 0.5, "y": 0.5}, 5.0, 2.0)], "bohb", r"rows of `warm_start` are \(config, fidelity above 0"),
        ([({"x": 0.5, "y": 0.5}, float("nan"), 2.0)], "bohb", r"rows of `warm_start` are \(config, fidelity above 0"),
        (7, "bohb", "`warm_start` is a ResultGrid, a study's folder, an hpbandster Result, or rows"),
        ([({"x": 0.5, "y": 0.5}, 1.0, 2.0)], "random", r"`warm_start` needs a search that learns"),
    ],
)
def test_what_cannot_warm_a_search_is_refused(warm_start, alg, sentence):
    with pytest.raises(rbt.errors.SettingError, match=sentence):
        rbt.Tuner(
            parabola,
            param_space=BOX,
            tune_config=rbt.TuneConfig(metric="loss", mode="min", search_alg=alg, warm_start=warm_start),
        )


def test_auto_under_a_cost_is_no_corner_of_a_grid(tmp_path):
    results = fit(crossover, tmp_path, search_alg="auto", num_samples=None, max_cost=30)
    assert results.study.search_alg == "bohb"
    assert len({result.config["fast"] for result in results}) > 10
    assert 25 < results.cost <= 30


def test_samplers_of_others_are_bounded_too(tmp_path):
    import optuna

    results = fit(parabola, tmp_path, space=BOX, bundle=None, metric="loss", num_samples=None,
                  search_alg=optuna.samplers.RandomSampler(seed=1))  # fmt: skip
    assert len(results) == 100


@pytest.mark.parametrize(
    "objective", [rbt.objectives.sma_cross(), rbt.batched(lambda params, data: [0.0] * len(params))]
)
def test_reports_are_asked_of_whom_can_give_them(objective):
    with pytest.raises(rbt.errors.ObjectiveError, match=r"`fidelity='reports'` is for a function of one config"):
        rbt.Tuner(
            objective, param_space=SPACE, bundle="fx", tune_config=rbt.TuneConfig(fidelity="reports", max_reports=9)
        )


def test_a_trial_without_reports_fails_with_a_message(tmp_path):
    results = fit(parabola, tmp_path, space=BOX, bundle=None, metric="loss", fidelity="reports", max_reports=9)
    assert results.num_terminated == 0
    assert "ended without calling `rbt.report`" in results.errors[0]


class Odd:
    """Proposes one config at an invalid fidelity."""

    def __init__(self, fidelity):
        self.fidelity, self.done = fidelity, False

    def ask(self, n):
        self.done = True
        return [rbt.Proposal({"x": 0.5, "y": 0.5}, self.fidelity)]

    def tell(self, results):
        pass


@pytest.mark.parametrize(("fidelity", "bundle"), [(2.0, "fx"), (0.0, "fx"), (float("nan"), "fx"), (0.5, None)])
def test_a_searcher_that_proposes_no_fidelity_is_stopped(tmp_path, fidelity, bundle):
    with pytest.raises(rbt.errors.SettingError, match="a fidelity is above 0 and at most 1"):
        fit(parabola, tmp_path, space=BOX, bundle=bundle, metric="loss", search_alg=Odd(fidelity))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"search_alg": Odd}, "`search_alg` is a name, rbt.BOHB"),
        (
            {"search_alg": Odd(1.0), "scheduler": "asha"},
            "`scheduler` is None with a searcher that proposes whole trials",
        ),
        ({"search_alg": Odd(1.0), "points_to_evaluate": [{"x": 1}]}, "`points_to_evaluate` is None with a searcher"),
        ({"max_cost": 10**400}, "`max_cost` is a number above 0"),
        ({"min_fidelity": 5e-324}, "`min_fidelity` is at most 20 factors of `eta`"),
        ({"eta": 1.001}, "`min_fidelity` is at most 20 factors of `eta`"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, sentence):
    with pytest.raises(rbt.errors.SettingError, match=sentence):
        rbt.TuneConfig(**settings)


def test_a_warm_up_that_fails_is_a_sentence():
    def objective(params, data):
        return 0.0

    objective.warmup = lambda params: params["nothing"]
    with pytest.raises(rbt.errors.SettingError, match=r"the objective's `warmup` .* it raised KeyError"):
        rbt.Tuner(objective, param_space=SPACE, bundle="fx", tune_config=rbt.TuneConfig(num_samples=20))
    rbt.Tuner(objective, param_space=SPACE, bundle="fx", tune_config=rbt.TuneConfig(search_alg="random"))


def test_a_warm_up_in_the_middle_of_a_choice_counts():
    def objective(params, data):
        return 0.0

    objective.warmup = lambda params: params["w"]
    space = {"w": rbt.choice([10, 700, 50]), "x": rbt.uniform(0, 1)}
    tuner = rbt.Tuner(objective, param_space=space, bundle="fx", tune_config=rbt.TuneConfig(num_samples=20))
    assert tuner.study.lowest_fidelity * rbt.load_bundle("fx").n_bars >= 1400


def test_without_full_fidelity_there_is_no_best_and_the_message_says_why(tmp_path):
    results = fit(crossover, tmp_path, max_cost=0.5)
    with pytest.raises(rbt.errors.NoResultError, match="no trial completed at full fidelity, but"):
        results.get_best_result()


def test_restore_takes_the_same_settings_again_and_no_others(tmp_path):
    settings = {"bundle": None, "metric": "loss", "num_samples": 10}
    fit(parabola, tmp_path, "mine", BOX, search_alg=rbt.BOHB(model="tpe"), **settings)
    rbt.Tuner.restore(tmp_path / "mine", parabola, search_alg=rbt.BOHB(model="tpe"))
    for other in (rbt.BOHB(), "bohb", Odd):
        with pytest.raises(rbt.errors.StudyMismatchError, match="was begun with 'bohb'"):
            rbt.Tuner.restore(tmp_path / "mine", parabola, search_alg=other)


def test_a_study_file_names_settings(tmp_path):
    from rbt_ray.cli.study_file import read_study_file

    (tmp_path / "s.toml").write_text(
        'objective = "sma_cross"\nbundle = "fx"\n[space]\nfast = { randint = [5, 60] }\nslow = { randint = [60, 250] }\n'
        '[search]\nsearch_alg = { bohb = { model = "tpe" } }\nscheduler = { asha = { kind = "stopping" } }\n'
    )
    study = read_study_file(tmp_path / "s.toml", {}, {})
    assert study.tune_config.search_alg == rbt.BOHB(model="tpe")
    assert study.tune_config.scheduler == rbt.ASHA(kind="stopping")
