"""A study whose objective is broken stops; one whose configs fail for good reasons runs to its end; both say what failed."""

import warnings

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.errors import FailedTrialsWarning, NoResultError
from rbt_ray.store.failures import by_cause, cause_of, sentence

SPACE = {"a": rbt.randint(0, 100), "b": rbt.randint(0, 20)}
WIDE = {"a": rbt.randint(0, 1_000), "b": rbt.randint(0, 100)}


def misspelt(params, data):
    return data.smaa("close", params["a"])


def corner(params, data):
    if params["a"] < 50:
        raise ValueError(f"a is {params['a']}")
    return {"score": params["a"]}


def two_lines(params, data):
    if params["b"] % 2:
        raise ValueError("odd")
    raise ValueError("even")


def by_type(params, data):
    raise (ValueError if params["b"] % 2 else TypeError)("always")


def no_metric(params, data):
    return {"scor": 1.0}


def fit(folder, objective, search_alg="random", num_samples=400, space=SPACE, **run):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = rbt.Tuner(
            objective,
            param_space=space,
            bundle="sample",
            tune_config=rbt.TuneConfig(
                metric="score", search_alg=search_alg, num_samples=None if search_alg == "grid" else num_samples, seed=1
            ),
            run_config=rbt.RunConfig(name="study", storage_path=folder, num_workers=2, verbose=0, **run),
        ).fit()
    return results, [str(one.message) for one in caught if one.category is FailedTrialsWarning]


@pytest.mark.parametrize("search_alg", ["random", "grid", "bohb"])
def test_a_study_of_a_broken_objective_stops(tmp_path, search_alg):
    results, said = fit(tmp_path, misspelt, search_alg, 100_000, WIDE)
    assert results.runs[-1].reason == "identical_failures"
    assert 20 <= len(results) < 100_000
    assert results.table.trials.max() < 100_000  # the drawn configs are no trials
    [note] = said
    assert note.startswith("the study stopped, because all of its ")
    assert (
        "and so did 20 configs drawn from the whole space: AttributeError: 'BundleView' object has no attribute 'smaa'"
        in note
    )
    assert f"{__file__}, line {misspelt.__code__.co_firstlineno + 1})" in note
    assert note in results.notes
    with pytest.raises(NoResultError):
        results.get_best_result()
    again = rbt.Tuner.restore(tmp_path / "study", misspelt)
    with pytest.warns(FailedTrialsWarning, match="the study stopped"):
        assert len(again.fit()) > len(results)


def test_the_first_corner_of_a_grid_may_fail(tmp_path):
    results, said = fit(tmp_path, corner, "grid")
    assert [run.reason for run in results.runs] == ["done"]
    assert len(results) == 2_000
    line = corner.__code__.co_firstlineno + 2
    assert said == [f"1,000 of 2,000 trials failed: 1,000 with ValueError: a is 0 ({__file__}, line {line})."]
    assert results.get_best_result().metrics["score"] == 99


@pytest.mark.parametrize("objective", [two_lines, by_type])
def test_failures_at_two_lines_or_of_two_types_are_not_identical(tmp_path, objective):
    results, said = fit(tmp_path, objective)
    assert results.is_done
    [note] = said
    assert note.startswith("400 of 400 trials failed: ")
    assert note.count(" with ") == 2
    assert note.endswith(" No trial completed.")


@pytest.mark.parametrize("run", [{"num_samples": 40}, {"stop_on_identical_failures": False}])
def test_a_short_study_and_one_that_asks_for_it_run_to_their_end(tmp_path, run):
    results, said = fit(tmp_path, misspelt, **run)
    assert results.is_done
    assert len(results) == run.get("num_samples", 400)
    assert "No trial completed." in said[0]


def test_a_metric_that_no_trial_returned_is_named_with_what_came(tmp_path):
    _, said = fit(tmp_path, no_metric)
    assert "the objective returned no 'score', the study's metric; it returned scor. To run all" in said[0]


def test_a_study_that_had_results_is_not_stopped_when_it_is_resumed(tmp_path):
    first, _ = fit(tmp_path, corner, "grid", max_failures=100)
    assert first.runs[-1].reason == "max_failures"
    resumed, said = fit(tmp_path, corner, "grid", max_failures=100, exist="resume")
    assert resumed.runs[-1].reason == "max_failures"
    assert said == []


def test_causes_are_counted_by_type_and_line():
    text = 'Traceback (most recent call last):\n  File "a.py", line {}, in f\n    g(x)\nValueError: {}'
    errors = [text.format(3, x) for x in range(5)] + [text.format(4, 0)] * 7 + ["killed by signal 9 (SIGKILL)"]
    np.random.default_rng(1).shuffle(errors)
    assert [cause.n for cause in by_cause(errors)] == [7, 5, 1]
    assert cause_of(errors[0])[0] in ("ValueError", "killed by signal 9 (SIGKILL)")
    assert sentence(by_cause(errors), 20).startswith(
        "13 of 20 trials failed: 7 with ValueError: 0 (a.py, line 4); 5 with "
    )
    many = sentence(by_cause(f"error {i}" for i in range(8)), 8)
    assert many.endswith("; 3 for other reasons.")
    assert sentence([], 3) == ""
